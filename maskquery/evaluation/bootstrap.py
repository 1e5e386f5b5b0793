"""How far figures would move with other images: 95 % bootstrap intervals over images.

I images are drawn from the I images with replacement, a thousand times, and each figure is taken of
each draw: the middle 95 % of its values are the interval (Efron's percentile method, see Efron and
Tibshirani 1993, An Introduction to the Bootstrap, chapter 13). The draws are the same every time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from maskquery.evaluation.counts import ConfusionCounts, Floats, iou, ratio

DRAWS = 1000
SEED = 0
CONFIDENCE = 0.95

LEAST_IMAGES = 5
"""Draws of fewer images say more about these images than about others: there is no interval."""

_NUMBERS = 4_000_000  # in memory at a time

Interval = dict[str, float]

_NONE = {"low": float("nan"), "high": float("nan"), "images": float("nan")}


def intervals(columns: Sequence[ConfusionCounts]) -> list[Interval]:
    """Of the mean image IoU: of each class, and last of the mean over the classes.

    Args:
        columns: each class's counts, (I,) each, of the same images.

    Returns:
        `low` and `high` of each, and `images`, how many show the class (of the mean: any class);
        all NaN below `LEAST_IMAGES`. A draw without an image that shows the class says nothing
        about the class.
    """
    shown = np.stack([column.true > 0 for column in columns], axis=1).astype(np.float64)
    ious = np.nan_to_num(np.stack([iou(column) for column in columns], axis=1)) * shown  # (I, C)
    samples = np.concatenate([ratio(draw @ ious, draw @ shown) for draw in draws(len(ious))])
    images = [*shown.sum(axis=0).astype(int).tolist(), int(shown.any(axis=1).sum())]
    return [
        {**middle(values), "images": number} if number >= LEAST_IMAGES else dict(_NONE)
        for values, number in zip((*samples.T, row_means(samples)), images, strict=True)
    ]


def draws(images: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each image was drawn: `DRAWS` rows in all, (rows, I) at a time."""
    rng = np.random.default_rng(SEED)
    done = 0
    while done < DRAWS:
        rows = min(DRAWS - done, max(1, _NUMBERS // images))
        yield rng.multinomial(images, np.full(images, 1 / images), rows).astype(np.float64)
        done += rows


def row_means(values: Floats) -> Floats:
    """The mean of each row's values that are not NaN."""
    known = ~np.isnan(values)
    return ratio(np.nan_to_num(values).sum(axis=1), known.sum(axis=1))


def middle(values: Floats) -> Interval:
    """Between what `low` and `high` the middle 95 % of the draws lie; those without value left out.

    Both are NaN where there is no value.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return {"low": float("nan"), "high": float("nan")}
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [outside, 1 - outside])
    return {"low": float(low), "high": float(high)}
