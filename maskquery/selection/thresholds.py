"""Thresholds: a number, those chosen on the calibration part, or one for each image and class.

Letters of shapes: N masks, C classes.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydantic

from maskquery.core.errors import UserError

Floats = npt.NDArray[np.float32]

CALIBRATED, COMMON = "calibrated", "common"


def otsu(scores: Floats) -> float:
    """The threshold that splits N scores into two groups with the greatest variance between them.

    It stands midway between the groups. Fewer than two distinct scores cannot be split, and the
    threshold is then the highest of them, above which there is none. Exact, over all N - 1 splits.

    Source: Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076
    """
    ordered = np.sort(scores.astype(np.float64))
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    difference = (ordered.sum() - below) / (len(ordered) - count) - below / count
    return _split(ordered, count * (len(ordered) - count) * difference**2)


def largest_gap(scores: Floats) -> float:
    """The middle of the largest gap between neighbours among N scores; see `otsu` for N < 2."""
    ordered = np.sort(scores.astype(np.float64))
    return _split(ordered, np.diff(ordered))


def _split(ordered: npt.NDArray[np.float64], worth: npt.NDArray[np.float64]) -> float:
    """The middle of the place with the greatest worth, the highest of equals."""
    if not len(ordered):
        return 1.0
    if ordered[0] == ordered[-1]:
        return float(ordered[-1])
    place = len(worth) - 1 - int(worth[::-1].argmax())
    return float((ordered[place] + ordered[place + 1]) / 2)


ADAPTIVE: Mapping[str, Callable[[Floats], float]] = {"otsu": otsu, "largest_gap": largest_gap}
"""Rules that look at one image's scores of one class."""


RULES = (CALIBRATED, COMMON, *ADAPTIVE)


def _threshold(value: Any) -> float | str:
    if isinstance(value, str) and value in RULES:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be a number, or one of {', '.join(RULES)}{_hint(value)}")
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    if abs(value) > 1:
        sense = "less than or equal to 1" if value > 0 else "greater than or equal to -1"
        raise ValueError(f"must be {sense}")
    return float(value)


def _hint(value: Any) -> str:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f"; this is text, write {number!r} without quotes" if math.isfinite(number) else ""


Threshold = Annotated[float | str, pydantic.PlainValidator(_threshold)]
"""A number from -1 to 1, "calibrated", "common", or a key of `ADAPTIVE`."""


def known(path: Path, rule: str, classes: Sequence[str]) -> dict[str, float]:
    """What thresholds.json has for the classes by the rule "calibrated" or "common".

    A class for which it has none is left out.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = (
            document["classes"] if rule == CALIBRATED else dict.fromkeys(classes, document[rule])
        )
        return {name: _number(found[name]) for name in classes if found.get(name) is not None}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be used ({reason}): run `dvc repro`") from None


def read(path: Path, rule: str, classes: Sequence[str]) -> Floats:
    """The thresholds of all classes by such a rule: (C,) float32.

    Raises:
        UserError: the file is missing or damaged, or has no threshold for a class.
    """
    found = known(path, rule, classes)
    if lacking := [name for name in classes if name not in found]:
        raise UserError(
            f"threshold: {rule} needs images of the calibration part (the patterns `calibration`) "
            f"whose ground truth shows {', '.join(lacking)}, and there is none: name such images, "
            f"or set `threshold` to a number, {' or '.join(ADAPTIVE)}"
        )
    return np.array([found[name] for name in classes], np.float32)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
        raise ValueError(f"{value!r} is not a number from -1 to 1")
    return float(value)


def of_image(rule: float | str, score: Floats, chosen_before: Floats | None) -> Floats:
    """The threshold of each class in one image: (C,) float32.

    Args:
        rule: a `Threshold`.
        score: (N, C) float32.
        chosen_before: (C,) float32, what `read` gave; for "calibrated" and "common" alone.
    """
    if chosen_before is not None:
        return chosen_before
    if isinstance(rule, float):
        return np.full(score.shape[1], rule, np.float32)
    return np.array([ADAPTIVE[rule](column) for column in score.T], np.float32)


def above(score: Floats, threshold: float | Floats) -> npt.NDArray[np.bool_]:
    """Which masks show which class: (N, C) float32 to (N, C) bool, where score > threshold.

    A score equal to the threshold is not above it. The threshold, one for all classes or (C,), is
    compared as float32, the type of the scores, so that 0.3 in params.yaml means what 0.3 in
    scores.parquet does.
    """
    return score > np.asarray(threshold, np.float32)
