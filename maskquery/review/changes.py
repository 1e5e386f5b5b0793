"""Compare the figures of two revisions. Pure functions on what the files held."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from maskquery.core import params
from maskquery.core.errors import UserError

Tolerance = dict[str, pydantic.NonNegativeFloat]


class Review(params.Section):
    """The section `review` of params.yaml.

    Attributes:
        gate: `tolerance`: a metric may not get worse by more than its tolerance; `significant`: nor
            may `mean_image_iou`, or that of a class that `tolerance` names, fall by more than
            chance, see `review.significance`.
        tolerance: by how much a metric of metrics.json, by its dotted name, may get worse: fall, or
            rise where less is better.
    """

    gate: Literal["tolerance", "significant"]
    tolerance: Tolerance


class Params(params.Section):
    """What params.yaml says to the review."""

    review: Review


@dataclass(frozen=True)
class Worsening:
    """A metric that got worse by more than its tolerance; `now` is None where it is gone."""

    name: str
    before: float
    now: float | None
    tolerance: float

    def __str__(self) -> str:
        now = "gone" if self.now is None else f"{self.now:.4f}"
        return f"{self.name}: {self.before:.4f} -> {now} (tolerance {self.tolerance:g})"


@dataclass(frozen=True)
class ImageChange:
    """One class's IoU in one image in both revisions; NaN where it is defined in one only."""

    image: str
    class_name: str
    before: float
    now: float


MORE, LESS = 1, -1

_LESS = {"false_positive_images", "failed", "iou_gap"}
_MORE = {
    *("mean_image_iou", "pooled_iou", "boundary_iou", "precision", "recall", "f1", "miou"),
    *("miou_with_background", "frequency_weighted_iou", "pixel_accuracy", "mcc", "auroc"),
    *("low", "high"),  # of an interval
}


def direction(name: str) -> int | None:
    """`MORE` or `LESS`, which is better of a metric of metrics.json; None where neither is.

    Args:
        name: dotted, "classes.chair.false_positive_images".
    """
    if name.startswith("classes."):  # a class may have any name, dots included
        name = _of_class(name.removeprefix("classes."))
    *groups, last = name.split(".")
    if last in _LESS or "iou_gap" in groups:
        return LESS
    # `masks` alone is a count; of the oracle it is an IoU.
    return MORE if last in _MORE or groups == ["oracle"] else None


def _of_class(name: str) -> str:
    """What stands behind a class's name in the dotted name of a metric."""
    *_, group, last = ["", *name.split(".")]
    return f"{group}.{last}" if group in ("oracle", "iou_gap") else last


def figures(text: str, name: str) -> dict[str, float]:
    """The numbers of a metrics file by dotted name.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        UserError: it is not JSON.
    """
    numbers: dict[str, float] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[path] = float(value)

    try:
        walk(json.loads(text), "")
    except ValueError as error:
        hint = "resolve the merge conflict in it, then " if "<<<<<<<" in text else ""
        raise UserError(f"{name} is not JSON ({error}): {hint}run `dvc repro`") from None
    return numbers


_RENAMED = {
    "false_alarm_images": "false_positive_images",
    "ceilings.masks": "oracle.labels",
    "ceilings.labels": "oracle.masks",
    "lost.masks": "iou_gap.segmentation",
    "lost.labels": "iou_gap.classification",
    "lost.threshold": "iou_gap.threshold",
}
"""Today's names of metrics by those of earlier versions; see CHANGELOG.md."""


def by_todays_names(metrics: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Metrics of an earlier version by today's names, and which of them had others."""
    renamed: dict[str, float] = {}
    old = []
    for name, value in metrics.items():
        new = name
        for before, now in _RENAMED.items():
            if name == before or name.endswith(f".{before}"):
                new = name.removesuffix(before) + now
                old.append(name)
        renamed[new] = value
    return renamed, old


def is_measured(metrics: Mapping[str, float]) -> bool:
    """Whether metrics come from a ground truth."""
    return "mean_image_iou" in metrics


def find_worsenings(
    before: Mapping[str, float], now: Mapping[str, float], tolerance: Mapping[str, float]
) -> list[Worsening]:
    """The metrics that got worse by more than their tolerance, or are gone.

    Args:
        before: of the base; a metric it does not have is new and cannot be worse.
        now: of the change.
        tolerance: by dotted name.
    """
    result = []
    for name, allowed in tolerance.items():
        sign = direction(name)
        if name in before and sign is not None:
            loss = sign * (before[name] - now[name]) if name in now else float("inf")
            if loss > allowed:
                result.append(Worsening(name, before[name], now.get(name), allowed))
    return result


def image_changes(before: str, now: str) -> list[ImageChange]:
    """Where the IoU of images differs, the largest change first.

    Args:
        before: metrics/images.csv of the base: image, class, iou.
        now: the same file of the change.
    """
    old, new = ious(before), ious(now)
    changes = [
        ImageChange(*key, old[key], new[key])
        for key in old.keys() & new.keys()
        if old[key] != new[key]
    ]
    return sorted(changes, key=lambda c: (-abs(c.now - c.before), c.image, c.class_name))


def false_positive_changes(before: str, now: str) -> tuple[int, int]:
    """How many images without the class have new false positives, and how many no more.

    Args:
        before: metrics/images.csv of the base: a row without IoU is such an image.
        now: the same file of the change.
    """
    old, new = _false_positives(before), _false_positives(now)
    return len(new - old), len(old - new)


def _false_positives(text: str) -> set[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {(row["image"], row["class"]) for row in rows if not row["iou"]}


def ious(text: str) -> dict[tuple[str, str], float]:
    """The IoU of each image and class that metrics/images.csv gives one."""
    rows = csv.DictReader(io.StringIO(text))
    return {(row["image"], row["class"]): float(row["iou"]) for row in rows if row["iou"]}
