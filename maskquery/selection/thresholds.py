"""Thresholds: a number, those chosen on the calibration split, or one for each image and class.

Letters of shapes: N masks, C classes.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic_core import core_schema

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


@dataclass(frozen=True)
class Threshold:
    """The value of `threshold` in params.yaml.

    Attributes:
        rule: a number from -1 to 1; "calibrated", of each class as thresholds.json has it;
            "common", one for all classes, as thresholds.json has it; or a key of `ADAPTIVE`, of
            each image and class by its scores alone.
    """

    rule: float | str

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The threshold that a value of params.yaml means.

        Raises:
            ValueError: it is no number from -1 to 1, and no rule.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value in RULES:
            return cls(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"must be a number, or one of {', '.join(RULES)}{_hint(value)}")
        if not math.isfinite(value):
            raise ValueError("must be a finite number")
        if abs(value) > 1:
            sense = "less than or equal to 1" if value > 0 else "greater than or equal to -1"
            raise ValueError(f"must be {sense}")
        return cls(float(value))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda threshold: threshold.rule
            ),
        )

    def __str__(self) -> str:
        return self.rule if isinstance(self.rule, str) else f"{self.rule:g}"

    @property
    def is_adaptive(self) -> bool:
        """Whether it looks at each image's scores."""
        return self.rule in ADAPTIVE

    @property
    def is_from_file(self) -> bool:
        """Whether it stands in thresholds.json."""
        return self.rule in (CALIBRATED, COMMON)

    def by_class(self, path: Path, classes: Sequence[str]) -> dict[str, float]:
        """The thresholds that hold for all images; a class that has none is left out.

        Args:
            path: of thresholds.json, read if need be.
            classes: names of the classes.

        Raises:
            UserError: the file is missing or damaged.
        """
        if isinstance(self.rule, float):
            return dict.fromkeys(classes, self.rule)
        if self.is_adaptive:
            return {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            numbers = (
                dict.fromkeys(classes, document[COMMON])
                if self.rule == COMMON
                else document["classes"]
            )
            return {
                name: _number(numbers[name]) for name in classes if numbers.get(name) is not None
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} cannot be used ({reason})", "run `dvc repro`") from None

    def resolve(self, path: Path, classes: Sequence[str]) -> Callable[[Floats], Floats]:
        """What gives an image's thresholds, (C,) float32, from its scores, (N, C) float32.

        Args:
            path: of thresholds.json, read if need be.
            classes: names of the C classes.

        Raises:
            UserError: the file is missing or damaged, or has no threshold for a class.
        """
        if self.is_adaptive:
            return self.of_image
        numbers = self.by_class(path, classes)
        if lacking := [name for name in classes if name not in numbers]:
            raise UserError(
                f"threshold: {self.rule} needs images of the calibration split (the patterns "
                f"`calibration`) whose ground truth shows {', '.join(lacking)}, and there is none: "
                f"name such images, or set `threshold` to a number, {' or '.join(ADAPTIVE)}"
            )
        thresholds = np.array([numbers[name] for name in classes], np.float32)
        return lambda _: thresholds

    def of_image(self, score: Floats) -> Floats:
        """The thresholds of an adaptive rule from an image's scores: (N, C) to (C,) float32."""
        return np.array([ADAPTIVE[str(self.rule)](column) for column in score.T], np.float32)


def _hint(value: Any) -> str:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f"; this is text, write {number!r} without quotes" if math.isfinite(number) else ""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
        raise ValueError(f"{value!r} is not a number from -1 to 1")
    return float(value)


def above(score: Floats, threshold: float | Floats) -> npt.NDArray[np.bool_]:
    """Which masks show which class: (N, C) float32 to (N, C) bool, where score > threshold.

    A score equal to the threshold is not above it. The threshold, one for all classes or (C,), is
    compared as float32, the type of the scores, so that 0.3 in params.yaml means what 0.3 in
    scores.parquet does.
    """
    return score > np.asarray(threshold, np.float32)
