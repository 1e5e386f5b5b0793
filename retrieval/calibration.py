"""Thresholds from what each would give on the calibration part, see `retrieval.curves`."""

from collections.abc import Sequence

import numpy as np

from retrieval import curves
from retrieval.curves import Curve, ImageCurve
from retrieval.evaluation import Floats, ratio


def worth(images: Sequence[ImageCurve], cost: float) -> Curve:
    """What a threshold of one class is worth: mean image IoU - cost x false alarm rate.

    The false alarm rate is the share, among the images that do not show the class, of those in
    which something is predicted. Without an image that shows the class the figure is NaN.
    """
    iou = curves.mean_image_iou(images)
    alarms = false_alarm_rate(images) if cost else Curve(iou.scores[:0], np.empty(0), 0.0)
    scores = np.unique(np.concatenate([iou.scores, alarms.scores]))[::-1]
    values = _steps(iou, scores) - cost * _steps(alarms, scores)
    return Curve(scores, values, iou.without)


def false_alarm_rate(images: Sequence[ImageCurve]) -> Curve:
    """The share of the images without the class that have a pixel predicted; 0 without such."""
    absent = [image for image in images if not image.true]
    found = [image.scores[image.predicted > 0] for image in absent]
    highest = np.array([scores[0] for scores in found if len(scores)], np.float32)
    scores = np.unique(highest)[::-1]
    count = np.searchsorted(-np.sort(highest)[::-1], -scores, side="right")
    return Curve(scores, ratio(count, np.full(len(scores), max(1, len(absent)))), 0.0)


def mean(figures: Sequence[Curve]) -> Curve:
    """The mean of several classes' figures at one threshold for all; those without are left out."""
    with_value = [figure for figure in figures if not np.isnan(figure.without)]
    if not with_value:
        return Curve(np.empty(0, np.float32), np.empty(0), np.nan)
    scores = np.unique(np.concatenate([figure.scores for figure in with_value]))[::-1]
    values = np.mean([_steps(figure, scores) for figure in with_value], axis=0)
    return Curve(scores, values, float(np.mean([figure.without for figure in with_value])))


def _steps(figure: Curve, scores: curves.Scores) -> Floats:
    """The figure with all masks of at least each score, (M,), of descending scores."""
    done = np.searchsorted(-figure.scores, -scores, side="right")
    return np.append(figure.without, figure.values)[done]
