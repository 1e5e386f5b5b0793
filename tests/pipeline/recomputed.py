"""The metrics once more: slowly, from what any tool can read, without this project's code."""

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from tests.support.plain import read_masks

Bools = npt.NDArray[np.bool_]


def metrics_of(folder: Path) -> dict[str, float]:
    """What `flat` makes of the metrics, from masks.zarr, scores.parquet and the ground truth."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    truth, names = params["ground_truth"], list(params["classes"])
    masks = {
        image: own
        for image, own in read_masks(folder / "data/masks.zarr").items()
        if not any(fnmatchcase(image, pattern) for pattern in params["calibration"])
    }
    scores = pd.read_parquet(folder / "data/scores.parquet")
    chosen = scores[scores["image"].isin(list(masks))]
    chosen = chosen[chosen["score"] > np.float32(params["threshold"])]
    chosen = without_wholes(chosen, masks, params["selection"]["part_share"])
    counts: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    pairs = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    for image, own in masks.items():
        labels = np.load(folder / truth["folder"] / f"{image}.npy")
        planes = []
        for name in names:
            predicted = np.zeros(labels.shape, bool)
            for mask_id in chosen[(chosen["image"] == image) & (chosen["class"] == name)][
                "mask_id"
            ]:
                predicted |= own[int(mask_id)]
            true = np.zeros(labels.shape, bool)
            for label in truth["labels"][name]:
                true |= labels == label
            planes.append((predicted, true))
            counts[name].append(
                {
                    "both": int((predicted & true).sum()),
                    "either": int((predicted | true).sum()),
                    "predicted": int(predicted.sum()),
                    "true": int(true.sum()),
                    "pixels": labels.size,
                    "band": bands_of(predicted, true),
                    "objects": [
                        (int(o.sum()) * 640 * 480 / labels.size, (o & predicted).sum() / o.sum())
                        for o in regions(true)
                        if o.sum() >= labels.size / 10_000
                    ],
                }
            )
        np.add.at(pairs, (one_label([t for _, t in planes]), one_label([p for p, _ in planes])), 1)
    clutter = [sum(len(counts[n][i]["objects"]) for n in names) for i in range(len(masks))]
    ordered, count = sorted(clutter), len(clutter)
    edges = [ordered[math.ceil(count / 3) - 1], ordered[math.ceil(2 * count / 3) - 1]]
    levels = [sum(objects > edge for edge in edges) for objects in clutter]
    classes = {name: figures(counts[name], levels) for name in names}
    for name in names:
        classes[name]["masks"] = int((chosen["class"] == name).sum())
    shares = {name: [c["true"] / c["pixels"] for c in counts[name] if c["true"]] for name in names}
    return flat(
        {
            "overall": over_classes(list(classes.values())) | with_one_label(pairs),
            "clutter_up_to": dict(
                zip(("low", "medium", "high"), (*edges, ordered[-1]), strict=True)
            ),
            "classes": classes,
            "baselines": {
                "predict_all": {name: average(shares[name]) for name in names},
                "predict_none": {
                    name: average([0 * share for share in shares[name]]) for name in names
                },
            },
        }
    )


def one_label(planes: list[Bools]) -> npt.NDArray[np.int64]:
    """Each pixel's class, from 1: of several that with the fewest pixels, of equals the last."""
    sizes = [plane.sum() - number / len(planes) for number, plane in enumerate(planes)]
    ranked = [np.where(plane, size, np.inf) for plane, size in zip(planes, sizes, strict=True)]
    return np.where(np.any(planes, axis=0), np.argmin(ranked, axis=0) + 1, 0)


def with_one_label(pairs: npt.NDArray[np.int64]) -> dict[str, float | None]:
    """The figures of pixels by true (row) and predicted (column) class, 0 being none."""
    ious, weights = [], pairs.sum(axis=1)
    for number in range(len(pairs)):
        either = pairs[number].sum() + pairs[:, number].sum() - pairs[number, number]
        ious.append(pairs[number, number] / either if either else None)
    return {
        "miou": average([iou for iou in ious[1:] if iou is not None]),
        "miou_with_background": average([iou for iou in ious if iou is not None]),
        "frequency_weighted_iou": sum((i or 0) * w for i, w in zip(ious, weights, strict=True))
        / weights.sum(),
        "pixel_accuracy": sum(pairs[n, n] for n in range(len(pairs))) / pairs.sum(),
    }


def presence(counts: list[dict[str, Any]]) -> dict[str, float | None]:
    """Whether an image is said to show the class, against whether it does."""
    says, does = ([bool(c[key]) for c in counts] for key in ("predicted", "true"))
    tp = sum(a and b for a, b in zip(says, does, strict=True))
    fp, fn = sum(says) - tp, sum(does) - tp
    tn = len(counts) - tp - fp - fn
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        "mcc": (tp * tn - fp * fn) / root if root else None,
    }


def without_wholes(
    chosen: pd.DataFrame, masks: dict[str, dict[int, Bools]], share: float
) -> pd.DataFrame:
    """Without masks that hold more than a share of a smaller one with a higher score."""

    def is_whole(row: Any, others: pd.DataFrame) -> bool:
        whole = masks[row.image][row.mask_id]
        better = others.loc[others["score"] > row.score, "mask_id"]
        parts = [masks[row.image][int(mask_id)] for mask_id in better]
        return any(
            part.sum() < whole.sum() and (part & whole).sum() > share * part.sum() for part in parts
        )

    kept = [
        not is_whole(row, own)
        for _, own in chosen.groupby(["image", "class"], sort=False)
        for row in own.itertuples()
    ]
    ordered = [own for _, own in chosen.groupby(["image", "class"], sort=False)]
    return pd.concat(ordered)[kept] if ordered else chosen


def regions(plane: Bools) -> Iterator[Bools]:
    """The 8-connected regions, by flooding."""
    height, width = plane.shape
    left = np.pad(plane, 1)
    for start in np.argwhere(left).tolist():
        if not left[*start]:
            continue
        own, waiting = np.zeros_like(left), [tuple(start)]
        left[*start] = False
        while waiting:
            y, x = waiting.pop()
            own[y, x] = True
            near = left[y - 1 : y + 2, x - 1 : x + 2]
            if near.any():
                waiting += [(y - 1 + dy, x - 1 + dx) for dy, dx in np.argwhere(near).tolist()]
                near[:] = False
        yield own[1 : height + 1, 1 : width + 1]


def bands_of(predicted: Bools, true: Bools) -> tuple[int, int]:
    """Intersection and union of the bands inside both outlines."""
    one, other = band(predicted), band(true)
    return int((one & other).sum()), int((one | other).sum())


def band(mask: Bools) -> Bools:
    """The pixels of the mask that are within 2 % of the diagonal of what is not in it."""
    distance = max(1, round(0.02 * math.hypot(*mask.shape)))
    inner = np.pad(mask, distance)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(inner, 2 * distance + 1, axis=axis)
        inner = windows.all(axis=-1)
    return mask & ~inner


COUNTS = ("images_without_class", "false_positive_images", "images", "objects")


def over_classes(classes: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of what is a share, sums of what is a number of images or objects."""
    tree: dict[str, Any] = {}
    for key, value in classes[0].items():
        values = [own[key] for own in classes]
        if key in ("masks", "images_with_class"):
            continue
        if isinstance(value, dict):
            tree[key] = over_classes(values)
        elif key in COUNTS:
            tree[key] = sum(values)
        else:
            tree[key] = average([v for v in values if v is not None])
    return tree


def size_name(area: float) -> str:
    """Of an object in an image scaled to 640 x 480 pixels."""
    return "small" if area < 32**2 else "medium" if area < 96**2 else "large"


def by_size(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the objects and images of each size."""
    tree = {}
    for size in ("small", "medium", "large"):
        found = [f for c in counts for area, f in c["objects"] if size_name(area) == size]
        images = [c for c in counts if c["objects"] and size_name(max(c["objects"])[0]) == size]
        tree[size] = {
            "objects": len(found),
            "recall": average(found),
            "images": len(images),
            "mean_image_iou": average([c["both"] / c["either"] for c in images]),
        }
    return tree


def by_clutter(counts: list[dict[str, Any]], levels: list[int]) -> dict[str, Any]:
    """The figures of the images of each level."""
    tree = {}
    for level, name in enumerate(("low", "medium", "high")):
        own = [c for c, at in zip(counts, levels, strict=True) if at == level]
        tree[name] = {
            "images": len([c for c in own if c["true"]]),
            "mean_image_iou": average([c["both"] / c["either"] for c in own if c["true"]]),
            "images_without_class": len([c for c in own if not c["true"]]),
            "false_positive_images": len([c for c in own if not c["true"] and c["predicted"]]),
        }
    return tree


def figures(counts: list[dict[str, Any]], levels: list[int]) -> dict[str, Any]:
    """The figures of one class; None for what has no value."""
    keys = ("both", "either", "predicted", "true")
    total = {key: sum(count[key] for count in counts) for key in keys}
    shown = [count for count in counts if count["true"]]
    absent = [count for count in counts if not count["true"]]
    both = total["predicted"] + total["true"]
    return {
        "mean_image_iou": average([count["both"] / count["either"] for count in shown]),
        "pooled_iou": total["both"] / total["either"] if total["either"] else None,
        "precision": total["both"] / total["predicted"] if total["predicted"] else None,
        "recall": total["both"] / total["true"] if total["true"] else None,
        "f1": 2 * total["both"] / both if both else None,
        "boundary_iou": average([c["band"][0] / c["band"][1] for c in shown]),
        "presence": presence(counts),
        "sizes": by_size(counts),
        "clutter": by_clutter(counts, levels),
        "images_with_class": len(shown),
        "images_without_class": len(absent),
        "false_positive_images": len([count for count in absent if count["predicted"]]),
    }


def average(values: list[float]) -> float | None:
    """The mean; None of no values."""
    return math.fsum(values) / len(values) if values else None


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a tree by dotted key, as DVC names metrics; None is left out."""
    result: dict[str, float] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            result[prefix + key] = value
    return result
