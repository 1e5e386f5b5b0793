"""Is the class in the image? Predictions as a classifier of images, a class at a time.

Letter of shapes: I images.
"""

import math

import numpy as np
import numpy.typing as npt

from maskquery.evaluation.counts import ConfusionCounts, Floats, ratio


def figures(counts: ConfusionCounts) -> dict[str, float]:
    """Precision, recall, F1 and MCC over I images, `counts` of shape (I,).

    An image shows the class, or is predicted to, if one of its pixels is, or is predicted to be, of
    it. Images that are all void are left out. A figure that is 0 / 0 is NaN.

    MCC: Matthews 1975, the correlation of what is predicted and what is true, from -1 to 1.
    """
    known = counts.pixels > 0
    true, predicted = counts.true[known] > 0, counts.predicted[known] > 0
    tp, fp = int((true & predicted).sum()), int((~true & predicted).sum())
    fn, tn = int((true & ~predicted).sum()), int((~true & ~predicted).sum())
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "precision": float(ratio(tp, tp + fp)),
        "recall": float(ratio(tp, tp + fn)),
        "f1": float(ratio(2 * tp, 2 * tp + fp + fn)),
        "mcc": float(ratio(tp * tn - fp * fn, math.sqrt(margins))),
    }


def auroc(scores: Floats, true: npt.NDArray[np.bool_]) -> float:
    """How often an image with the class has a higher score than one without; a tie is half.

    That is the area under the ROC curve (Mann and Whitney 1947). NaN without images of either kind.

    Args:
        scores: (I,), of the best mask.
        true: (I,), whether the image shows the class.
    """
    others = np.sort(scores[~true])
    lower = np.searchsorted(others, scores[true], side="left")
    upper = np.searchsorted(others, scores[true], side="right")
    return float(ratio((lower + upper).sum() / 2, len(others) * true.sum()))
