"""Thresholds: a number, one chosen for each class on the calibration part, or one for each image.

Letters of shapes: N masks, C classes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydantic

from retrieval.errors import UserError

Floats = npt.NDArray[np.float32]

CALIBRATED = "calibrated"


def otsu(scores: Floats) -> float:
    """The threshold that splits N scores into two groups with the greatest variance between them.

    It stands midway between the groups. Fewer than two distinct scores cannot be split, and the
    threshold is then the highest of them, above which there is none. Exact, over all N - 1 splits.

    Source: Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076
    """
    ordered = np.sort(scores.astype(np.float64))
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    with np.errstate(invalid="ignore"):
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


def _threshold(value: Any) -> float | str:
    rules = (CALIBRATED, *ADAPTIVE)
    if isinstance(value, str) and value in rules:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and -1 <= value <= 1:
        return float(value)
    raise ValueError(f"must be a number from -1 to 1, or one of {', '.join(rules)}")


Threshold = Annotated[float | str, pydantic.PlainValidator(_threshold)]
"""A number from -1 to 1, "calibrated", or a key of `ADAPTIVE`."""


def read(path: Path, classes: Sequence[str]) -> Floats:
    """The calibrated threshold of each class: (C,) float32.

    Raises:
        UserError: the file is missing or damaged, or lacks a class.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return np.array([_number(found[name]) for name in classes], np.float32)
    except KeyError as error:
        raise UserError(
            f"{path} has no threshold for the class {error.args[0]!r}, which no image of the "
            "calibration part shows: set `threshold` to a number, otsu or largest_gap, or give "
            "the calibration part ground truth of that class"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be used ({reason}): run `dvc repro`") from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
        raise ValueError(f"{value!r} is not a number from -1 to 1")
    return float(value)


def of_image(rule: float | str, score: Floats, calibrated: Floats | None) -> Floats:
    """The threshold of each class in one image: (C,) float32.

    Args:
        rule: a `Threshold`.
        score: (N, C) float32.
        calibrated: (C,) float32, needed for "calibrated" alone.
    """
    if isinstance(rule, float):
        return np.full(score.shape[1], rule, np.float32)
    if rule == CALIBRATED:
        if calibrated is None:
            raise ValueError("calibrated thresholds are not given")
        return calibrated
    return np.array([ADAPTIVE[rule](column) for column in score.T], np.float32)
