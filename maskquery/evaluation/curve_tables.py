"""Curves as tables of bounded length, for plots: exact in each row, and no maximum left out."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from maskquery.core.errors import UserError
from maskquery.evaluation import curves
from maskquery.evaluation.counts import DIGITS, Floats
from maskquery.evaluation.curves import Curve, ImageCurve, PooledCurve

ROWS = 128
"""Thresholds evenly spaced over the scores there are; the maxima come on top."""

_STEPS = 100  # in 1: where evenly spaced thresholds begin and end is a multiple of 1 / _STEPS

ALL = "all classes"

_COLUMNS = ("threshold", ALL)
"""Columns of the table of IoU that are no class's."""


def expect_names(classes: Sequence[str]) -> None:
    """Refuse a class that would have the name of another column.

    Raises:
        UserError: naming it.
    """
    for name in classes:
        if name in _COLUMNS:
            raise UserError(
                f"classes.{name}: {name!r} is the name of another column of metrics/curves.csv",
                "choose another name",
            )


def iou_table(images: Sequence[Sequence[ImageCurve]], classes: Sequence[str]) -> str:
    """CSV of mean image IoU at every threshold: `threshold`, `all classes`, and each class.

    `all classes` is the mean over the classes that some image shows; the others are left out.

    Args:
        images: for each image C curves.
        classes: names of the C classes.
    """
    by_name = {
        name: curves.mean_image_iou([each[index] for each in images])
        for index, name in enumerate(classes)
    }
    shown = {name: curve for name, curve in by_name.items() if not np.isnan(curve.without)}
    rows = thresholds(list(shown.values()))
    values = np.array([[curve.at(t) for curve in shown.values()] for t in rows])
    return _csv(
        ["threshold", ALL, *shown],
        [[t, row.mean(), *row] for t, row in zip(rows, values, strict=True)],
    )


def precision_recall_table(images: Sequence[Sequence[ImageCurve]], classes: Sequence[str]) -> str:
    """CSV of precision and recall over the pixels of all images together, at every threshold.

    Columns: `threshold`, `precision` and `recall` over all classes, and `NAME precision` and `NAME
    recall` of each class that some image shows. Where nothing is predicted, precision is given as
    1, as scikit-learn's `precision_recall_curve` does, so that the curve has its end.

    Args:
        images: for each image C curves.
        classes: names of the C classes.
    """
    everything = curves.pool([curve for each in images for curve in each])
    by_name = {"": everything}
    for index, name in enumerate(classes):
        pooled = curves.pool([each[index] for each in images])
        if pooled.true:
            by_name[f"{name} "] = pooled
    if not everything.true:
        by_name = {}
    header = [f"{name}{figure}" for name in by_name for figure in ("precision", "recall")]
    rows = thresholds([pooled.iou for pooled in by_name.values()])
    return _csv(
        ["threshold", *header],
        [[t, *(v for c in by_name.values() for v in _pair(c, t))] for t in rows],
    )


def _pair(curve: PooledCurve, threshold: float) -> tuple[float, float]:
    precision = curve.precision.at(threshold)
    return 1.0 if np.isnan(precision) else precision, curve.recall.at(threshold)


def thresholds(of: Sequence[Curve]) -> list[float]:
    """At most `ROWS` and one for each curve, ascending: nearly even, and where each is highest.

    Each of the even ones is moved, by at most a quarter of the step, into the widest gap between
    scores nearby: there a last digit of a score, which depends on the processor, changes no value.

    For IoU over pixels that is where F1 is highest, too: F1 = 2 IoU / (1 + IoU).
    """
    scores = np.concatenate([np.empty(0, np.float32), *(curve.scores for curve in of)])
    if not len(scores):
        return []
    # From a threshold that every mask passes to one that none does.
    low = math.ceil(float(scores.min()) * _STEPS - 1) / _STEPS
    high = math.floor(float(scores.max()) * _STEPS + 1) / _STEPS
    even, step = np.linspace(max(-1.0, low), min(1.0, high), ROWS, retstep=True)
    ordered = np.unique(scores.astype(np.float64))
    best = [curve.best()[0] for curve in of]
    return sorted({*(_in_widest_gap(t, step / 4, ordered) for t in even.tolist()), *best})


def _in_widest_gap(threshold: float, reach: float, scores: Floats) -> float:
    """A threshold at most `reach` away, in the widest gap between the ascending `scores` there."""
    low, high = threshold - reach, threshold + reach
    near = scores[np.searchsorted(scores, low) : np.searchsorted(scores, high)]
    ends = np.concatenate([[low], near, [high]])
    place = int(np.diff(ends).argmax())
    return curves.between(float(ends[place]), float(ends[place + 1]), reach=0.25)


def _csv(header: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for threshold, *values in rows:
        writer.writerow([threshold, *(round(float(value), DIGITS) for value in values)])
    return text.getvalue()
