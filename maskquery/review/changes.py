"""Compare the figures of two revisions. Pure functions on what the files held."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from maskquery.core import params


class Review(params.Section):
    """The section `review` of params.yaml.

    Attributes:
        tolerance: by how much a metric of metrics.json, by its dotted name, may drop.
    """

    tolerance: dict[str, pydantic.NonNegativeFloat]


class Params(params.Section):
    """What params.yaml says to the review."""

    review: Review


@dataclass(frozen=True)
class Drop:
    """A figure that fell by more than its tolerance; `now` is None where it is gone."""

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


def figures(text: str) -> dict[str, float]:
    """The numbers of a metrics file by dotted name."""
    found: dict[str, float] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)

    walk(json.loads(text), "")
    return found


def drops(before: str, now: str, tolerance: Mapping[str, float]) -> list[Drop]:
    """The figures that fell by more than their tolerance, or are gone.

    Args:
        before: metrics.json of the base; a figure it does not have is new and cannot drop.
        now: metrics.json of the change.
        tolerance: by dotted name.
    """
    old, new = figures(before), figures(now)
    return [
        Drop(name, old[name], new.get(name), allowed)
        for name, allowed in tolerance.items()
        if name in old and (name not in new or old[name] - new[name] > allowed)
    ]


def unknown(now: str, tolerance: Mapping[str, float]) -> list[str]:
    """The names in `tolerance` that metrics.json does not have."""
    return [name for name in tolerance if name not in figures(now)]


def image_changes(before: str, now: str) -> list[ImageChange]:
    """Where the IoU of images differs, the largest change first.

    Args:
        before: metrics/images.csv of the base: image, class, iou.
        now: the same file of the change.
    """
    old, new = _ious(before), _ious(now)
    changes = [
        ImageChange(*key, old[key], new[key])
        for key in old.keys() & new.keys()
        if old[key] != new[key]
    ]
    return sorted(changes, key=lambda c: (-abs(c.now - c.before), c.image, c.class_name))


def alarm_changes(before: str, now: str) -> tuple[int, int]:
    """How many false alarms on images without the class are new, and how many are gone.

    Args:
        before: metrics/images.csv of the base: a row without IoU is such an alarm.
        now: the same file of the change.
    """
    old, new = _alarms(before), _alarms(now)
    return len(new - old), len(old - new)


def _alarms(text: str) -> set[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {(row["image"], row["class"]) for row in rows if not row["iou"]}


def _ious(text: str) -> dict[tuple[str, str], float]:
    rows = csv.DictReader(io.StringIO(text))
    return {(row["image"], row["class"]): float(row["iou"]) for row in rows if row["iou"]}
