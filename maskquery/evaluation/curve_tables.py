"""Curves as tables of bounded length, for plots: exact in each row, and no maximum left out."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from maskquery.evaluation import curves
from maskquery.evaluation.curves import Curve, ImageCurve, PooledCurve

ROWS = 128
"""Thresholds evenly spaced over the scores there are; the maxima come on top."""

_DIGITS = 4  # of evenly spaced thresholds
_BEYOND = 0.01
_VALUE_DIGITS = 6

ALL = "all classes"


def iou_table(images: Sequence[Sequence[ImageCurve]], classes: Sequence[str]) -> str:
    """CSV of mean image IoU at every threshold: `threshold`, `all classes`, and each class.

    `all classes` is the mean over the classes that some image shows; the others are left out.

    Args:
        images: for each image C curves.
        classes: names of the C classes.
    """
    own = {
        name: curves.mean_image_iou([each[index] for each in images])
        for index, name in enumerate(classes)
    }
    shown = {name: curve for name, curve in own.items() if not np.isnan(curve.without)}
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
    everything = curves.pooled([curve for each in images for curve in each])
    own = {"": everything}
    for index, name in enumerate(classes):
        pooled = curves.pooled([each[index] for each in images])
        if pooled.true:
            own[f"{name} "] = pooled
    if not everything.true:
        own = {}
    header = [f"{name}{figure}" for name in own for figure in ("precision", "recall")]
    rows = thresholds([pooled.iou for pooled in own.values()])
    return _csv(
        ["threshold", *header], [[t, *(v for c in own.values() for v in _pair(c, t))] for t in rows]
    )


def _pair(curve: PooledCurve, threshold: float) -> tuple[float, float]:
    precision = curve.precision.at(threshold)
    return 1.0 if np.isnan(precision) else precision, curve.recall.at(threshold)


def thresholds(of: Sequence[Curve]) -> list[float]:
    """At most `ROWS` and one for each curve, ascending: evenly spaced, and where each is highest.

    For IoU over pixels that is where F1 is highest, too: F1 = 2 IoU / (1 + IoU).
    """
    scores = np.concatenate([np.empty(0, np.float32), *(curve.scores for curve in of)])
    if not len(scores):
        return []
    # From a threshold that every mask passes to one that none does.
    low, high = float(scores.min()) - _BEYOND, float(scores.max()) + _BEYOND
    even = np.linspace(max(-1.0, low), min(1.0, high), ROWS)
    best = [curve.best()[0] for curve in of]
    return sorted({*even.round(_DIGITS).tolist(), *best})


def _csv(header: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for threshold, *values in rows:
        writer.writerow([threshold, *(round(float(value), _VALUE_DIGITS) for value in values)])
    return text.getvalue()
