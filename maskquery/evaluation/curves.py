"""What every threshold would give, exactly, without trying them one by one.

A prediction changes only where the threshold passes a mask's score. So each distinct score is one
step, and a step is a running OR and a popcount on packed bits. The step of a score holds for the
thresholds below it, down to and including the next score; at and above the highest score nothing
is predicted.

Letters of shapes: N masks, K steps of one image, M steps over all images, W8 = ceil(W / 8) bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskquery.evaluation.counts import Counts, Floats, ratio
from maskquery.masks.packed import Packed

Scores = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ImageCurve:
    """One class in one image.

    Attributes:
        scores: (K,) float32, the masks' distinct scores, all above -1, descending.
        tp: (K,) int64, pixels predicted and true, with all masks of at least that score.
        predicted: (K,) int64, pixels predicted.
        true: pixels of the class in the ground truth.
    """

    scores: Scores
    tp: Counts
    predicted: Counts
    true: int

    @property
    def best_score(self) -> float:
        """The highest threshold, all but, at which a pixel is predicted; -1 where there is none."""
        scores = self.scores[self.predicted > 0]
        return float(scores[0]) if len(scores) else -1.0


@dataclass(frozen=True)
class Curve:
    """A figure at every threshold.

    Attributes:
        scores: (M,) float32, distinct, descending.
        values: (M,) float64, the figure for thresholds in [scores[m + 1], scores[m]).
        without: the figure where nothing is predicted.
    """

    scores: Scores
    values: Floats
    without: float

    def at(self, threshold: float) -> float:
        """The figure at a threshold, compared as `scoring.select` compares."""
        above = np.searchsorted(-self.scores, -np.float32(threshold), side="left")
        return float(self.values[above - 1]) if above else self.without

    def best(self) -> tuple[float, float]:
        """The threshold with the highest figure, and the figure; NaN counts as lowest.

        The threshold stands `between` the two scores that bound the step; below all scores between
        the lowest and 0, where scores may begin, or -1. Of equal figures the highest threshold
        wins.
        """
        values = np.nan_to_num(self.values, nan=-np.inf)
        if not len(values) or values.max() <= self.without:
            return (above(float(self.scores[0])) if len(self.scores) else 1.0), self.without
        step = int(values.argmax())
        lowest = 0.0 if self.scores[-1] > 0 else -1.0
        floor = float(self.scores[step + 1]) if step + 1 < len(values) else lowest
        return between(floor, float(self.scores[step])), float(values[step])

    def on(self, scores: Scores) -> Floats:
        """The figure with all masks of at least each score, (M,), of descending scores."""
        return np.append(self.without, self.values)[_steps_done(self, scores)]


@dataclass(frozen=True)
class PooledCurve:
    """Pixels over all images at every threshold; arrays as in `ImageCurve`, of (M,)."""

    scores: Scores
    tp: Counts
    predicted: Counts
    true: int

    @property
    def precision(self) -> Curve:
        """Hits among the pixels predicted."""
        return Curve(self.scores, ratio(self.tp, self.predicted), np.nan)

    @property
    def recall(self) -> Curve:
        """Hits among the true pixels."""
        return Curve(self.scores, ratio(self.tp, np.full(len(self.tp), self.true)), 0.0)

    @property
    def iou(self) -> Curve:
        """Hits among the pixels predicted or true."""
        return Curve(self.scores, ratio(self.tp, self.predicted + self.true - self.tp), 0.0)


def image_curve(masks: Packed, scores: Scores, true: Packed) -> ImageCurve:
    """Count the pixels of one class in one image after each step.

    Args:
        masks: (N, H, W8) packed bits.
        scores: (N,) float32 of the class.
        true: (H, W8) packed bits of the class in the ground truth.
    """
    words, truth = (
        as_words(masks.reshape(len(masks), true.size)),
        as_words(true.reshape(1, true.size))[0],
    )
    order = np.argsort(-scores, kind="stable")
    tp, predicted = np.zeros(len(scores), np.int64), np.zeros(len(scores), np.int64)
    united = np.zeros_like(truth)
    for place, index in enumerate(order):
        united |= words[index]
        predicted[place] = np.bitwise_count(united).sum(dtype=np.int64)
        tp[place] = np.bitwise_count(united & truth).sum(dtype=np.int64)
    descending = scores[order]
    last = np.append(descending[1:] != descending[:-1], True)[: len(scores)]  # of equal scores
    area = int(np.bitwise_count(truth).sum(dtype=np.int64))
    return ImageCurve(descending[last], tp[last], predicted[last], area)


def mean_image_iou(curves: Sequence[ImageCurve]) -> Curve:
    """The mean over the images that show the class of its IoU, at every threshold.

    Images that do not show it have no IoU, as in `evaluation`. Without any that does, the figure
    is NaN.
    """
    shown = [curve for curve in curves if curve.true]
    scores = distinct(shown)
    total = np.zeros(len(scores))
    for curve in shown:
        iou = curve.tp / (curve.predicted + curve.true - curve.tp)
        total += np.append(0.0, iou)[_steps_done(curve, scores)]
    count = len(shown)
    return Curve(scores, ratio(total, np.full(len(scores), count)), 0.0 if count else np.nan)


def pool(curves: Sequence[ImageCurve]) -> PooledCurve:
    """The pixels of all images together, at every threshold."""
    scores = distinct(curves)
    tp, predicted = np.zeros(len(scores), np.int64), np.zeros(len(scores), np.int64)
    for curve in curves:
        done = _steps_done(curve, scores)
        tp += np.append(0, curve.tp)[done]
        predicted += np.append(0, curve.predicted)[done]
    return PooledCurve(scores, tp, predicted, sum(curve.true for curve in curves))


def between(low: float, high: float, reach: float = 0.01) -> float:
    """A threshold that parts two neighbouring scores: above `low` or equal to it, below `high`.

    Of the numbers no further from their middle than `reach` of the gap it is one with the fewest
    decimals, the next to the middle. So it stands away from the masks on either side, and another
    processor, whose scores differ in the last digit, comes to the same number.
    """
    middle, margin = (low + high) / 2, reach * (high - low)
    for decimals in range(1, 17):
        threshold = round(middle, decimals)
        if abs(threshold - middle) <= margin:
            # As float32, in which thresholds are compared, it may be the higher score.
            return threshold if np.float32(threshold) < np.float32(high) else low
    return low


def above(score: float) -> float:
    """The lowest threshold of four decimals that no score up to this one passes."""
    return math.ceil(score * 10_000) / 10_000


def distinct(curves: Sequence[ImageCurve | Curve]) -> Scores:
    """The distinct scores of all curves, descending."""
    empty = np.empty(0, np.float32)
    return np.unique(np.concatenate([empty, *(curve.scores for curve in curves)]))[::-1]


def _steps_done(curve: ImageCurve | Curve, scores: Scores) -> npt.NDArray[np.intp]:
    """How many steps of the curve are done once all masks of at least each score are in, (M,)."""
    return np.searchsorted(-curve.scores, -scores, side="right")


def as_words(planes: Packed) -> Words:
    """(N, B) bytes as (N, ceil(B / 8)) words, filled up with zeros: counted eight times as fast."""
    padded = np.pad(planes, ((0, 0), (0, -planes.shape[1] % 8)))
    return np.ascontiguousarray(padded).view(np.uint64)
