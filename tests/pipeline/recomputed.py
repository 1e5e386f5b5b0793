"""The metrics once more: slowly, from what any tool can read, without this project's code."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
import zarr

Bools = npt.NDArray[np.bool_]


def metrics_of(folder: Path) -> dict[str, float]:
    """What `flat` makes of the metrics, from masks.zarr, scores.parquet and the ground truth."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    truth, names = params["ground_truth"], list(params["classes"])
    masks = read_masks(folder / "data/masks.zarr")
    scores = pd.read_parquet(folder / "data/scores.parquet")
    chosen = scores[scores["score"] > np.float32(params["threshold"])]
    counts: dict[str, list[dict[str, int]]] = {name: [] for name in names}
    for image, own in masks.items():
        labels = np.load(folder / truth["folder"] / f"{image}.npy")
        for name in names:
            predicted = np.zeros(labels.shape, bool)
            for mask_id in chosen[(chosen["image"] == image) & (chosen["class"] == name)][
                "mask_id"
            ]:
                predicted |= own[int(mask_id)]
            true = np.zeros(labels.shape, bool)
            for label in truth["labels"][name]:
                true |= labels == label
            counts[name].append(
                {
                    "both": int((predicted & true).sum()),
                    "either": int((predicted | true).sum()),
                    "predicted": int(predicted.sum()),
                    "true": int(true.sum()),
                    "pixels": labels.size,
                }
            )
    classes = {name: figures(counts[name]) for name in names}
    for name in names:
        classes[name]["masks"] = int((chosen["class"] == name).sum())
    shares = {name: [c["true"] / c["pixels"] for c in counts[name] if c["true"]] for name in names}
    return flat(
        {
            "images": len(masks),
            "masks": sum(len(own) for own in masks.values()),
            "mean_image_iou": average(
                [c["mean_image_iou"] for c in classes.values() if c["mean_image_iou"] is not None]
            ),
            "classes": classes,
            "baselines": {
                "everything": {name: average(shares[name]) for name in names},
                "nothing": {name: average([0 * share for share in shares[name]]) for name in names},
            },
        }
    )


def read_masks(folder: Path) -> dict[str, dict[int, Bools]]:
    """Every image's masks, (H, W) bool, by mask id, with nothing but zarr."""
    masks = {}
    for path in folder.iterdir():
        shard = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
        for _, group in shard.groups():
            stack = np.unpackbits(group["masks"][:], axis=-1)[..., : group.attrs["width"]]
            assert stack.shape[1] == group.attrs["height"]
            ids = [int(mask_id) for mask_id in group["ids"][:]]
            masks[group.attrs["image"]] = dict(zip(ids, stack.astype(bool), strict=True))
    return masks


def figures(counts: list[dict[str, int]]) -> dict[str, Any]:
    """The figures of one class; None for what has no value."""
    total = {key: sum(count[key] for count in counts) for key in counts[0]}
    shown = [count for count in counts if count["true"]]
    absent = [count for count in counts if not count["true"]]
    return {
        "mean_image_iou": average([count["both"] / count["either"] for count in shown]),
        "pooled_iou": total["both"] / total["either"] if total["either"] else None,
        "precision": total["both"] / total["predicted"] if total["predicted"] else None,
        "recall": total["both"] / total["true"] if total["true"] else None,
        "images_with_class": len(shown),
        "images_absent": len(absent),
        "false_alarm_images": len([count for count in absent if count["predicted"]]),
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
