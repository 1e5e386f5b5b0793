"""Thresholds from what each would give on the calibration split, see `evaluation.curves`."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pydantic

from maskquery.evaluation import curves
from maskquery.evaluation.counts import ratio
from maskquery.evaluation.curves import Curve, ImageCurve

DECIMALS = 4
"""Of a class's threshold between its own best and the common one."""

Cost = Annotated[float, pydantic.Field(ge=0, le=1e6)]
"""What a class's image false positive rate costs in mean image IoU, see `worth`; 0 looks at IoU
alone.
"""

Shrinkage = Annotated[float, pydantic.Field(ge=0, le=1)]
"""How far a class's threshold is drawn towards the common one, see `thresholds`."""


def thresholds(
    worths: Sequence[Curve], shrinkage: float
) -> tuple[float | None, list[float | None]]:
    """The one threshold that is best for all classes together, and each class's own.

    A class's own is the one that is worth most, moved by `shrinkage` of the way towards the common
    one, as the best on a few images of a class is not the best on others. A class that no image
    shows, or that no mask may stand for, has the common one. None where that is so of all.

    Args:
        worths: `worth` of each class.
        shrinkage: from 0 to 1.
    """
    common = _best(mean(worths))
    return common, [_shrink(_best(curve), common, shrinkage) for curve in worths]


def worth(images: Sequence[ImageCurve], cost: float) -> Curve:
    """What a threshold of one class is worth: mean image IoU - cost x image false positive rate.

    The image false positive rate is the share, among the images that do not show the class, of
    those in which something is predicted. Without an image that shows the class the figure is NaN.
    """
    iou = curves.mean_image_iou(images)
    alarms = false_positive_rate(images) if cost else Curve(iou.scores[:0], np.empty(0), 0.0)
    scores = curves.distinct([iou, alarms])
    return Curve(scores, iou.on(scores) - cost * alarms.on(scores), iou.without)


def false_positive_rate(images: Sequence[ImageCurve]) -> Curve:
    """The share of the images without the class that have a pixel predicted; 0 without such."""
    absent = [image for image in images if not image.true]
    scores_of_images = [image.scores[image.predicted > 0] for image in absent]
    highest = np.array([scores[0] for scores in scores_of_images if len(scores)], np.float32)
    scores = np.unique(highest)[::-1]
    count = np.searchsorted(-np.sort(highest)[::-1], -scores, side="right")
    return Curve(scores, ratio(count, np.full(len(scores), max(1, len(absent)))), 0.0)


def mean(figures: Sequence[Curve]) -> Curve:
    """The mean of several classes' figures at one threshold for all; those without are left out."""
    with_value = [figure for figure in figures if not np.isnan(figure.without)]
    if not with_value:
        return Curve(np.empty(0, np.float32), np.empty(0), np.nan)
    scores = curves.distinct(with_value)
    values = np.mean([figure.on(scores) for figure in with_value], axis=0)
    return Curve(scores, values, float(np.mean([figure.without for figure in with_value])))


def _best(worth: Curve) -> float | None:
    """The threshold that is worth most; None without images that show the class, or masks."""
    return worth.best()[0] if len(worth.scores) and not np.isnan(worth.without) else None


def _shrink(best: float | None, common: float | None, share: float) -> float | None:
    if best is None or common is None:
        return common
    return round(best + share * (common - best), DECIMALS)
