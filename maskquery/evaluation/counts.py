"""How well predictions agree with the ground truth, on packed bits.

A pixel is a true positive (predicted and true), a false positive (predicted only) or a false
negative (true only). IoU = tp / (tp + fp + fn). Where nothing is
predicted and nothing is true, IoU is 0 / 0: it has no value, is NaN here, and enters no mean. The
same holds for precision without a predicted pixel and recall without a true one.

Letters of shapes: I images, C classes, H x W pixels, W8 = ceil(W / 8) bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.masks.packed import Packed, mask_areas

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DIGITS = 6
"""Of every figure reported: fine enough for a pixel, coarse enough to be stable."""


@dataclass(frozen=True)
class ConfusionCounts:
    """Pixels counted, each array of one shape: (C,) of an image, (I,) of a class in several.

    Attributes:
        tp: predicted and true.
        fp: predicted only.
        fn: true only.
        pixels: of the whole image, void left out.
    """

    tp: Counts
    fp: Counts
    fn: Counts
    pixels: Counts

    @property
    def true(self) -> Counts:
        """Pixels of the class in the ground truth."""
        return self.tp + self.fn

    @property
    def predicted(self) -> Counts:
        """Pixels predicted to be of the class."""
        return self.tp + self.fp


def agreement(predicted: Packed, true: Packed, pixels: int) -> ConfusionCounts:
    """Count the pixels of one image.

    Args:
        predicted: (C, H, W8) packed bits, none of a void pixel.
        true: (C, H, W8) packed bits, so, too.
        pixels: of the image, void left out.
    """
    tp = mask_areas(predicted & true)
    return ConfusionCounts(
        tp=tp,
        fp=mask_areas(predicted) - tp,
        fn=mask_areas(true) - tp,
        pixels=np.full_like(tp, pixels),
    )


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """Ratio part / whole in float64, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    result: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def iou(counts: ConfusionCounts) -> Floats:
    """Of each image and class, the shape of the counts; NaN where nothing is predicted or true."""
    return ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def mean(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def class_figures(counts: ConfusionCounts) -> dict[str, float | int]:
    """The figures of one class over I images; `counts` of shape (I,).

    - mean_image_iou: mean IoU over the images that show the class in the ground truth.
    - pooled_iou, precision, recall, f1: of all pixels of all images together. f1, the harmonic mean
      of precision and recall, is 2 tp / (predicted + true).
    - images_with_class, images_without_class: images that show the class and that do not; an image
      that is all void is neither.
    - false_positive_images: images that do not show the class and have pixels predicted.

    A figure without a value is NaN.
    """
    shows = counts.true > 0
    tp = counts.tp.sum()
    return {
        "mean_image_iou": mean(iou(counts)[shows]),
        "pooled_iou": float(ratio(tp, tp + counts.fp.sum() + counts.fn.sum())),
        "precision": float(ratio(tp, counts.predicted.sum())),
        "recall": float(ratio(tp, counts.true.sum())),
        "f1": float(ratio(2 * tp, counts.predicted.sum() + counts.true.sum())),
        "images_with_class": int(shows.sum()),
        "images_without_class": int((~shows & (counts.pixels > 0)).sum()),
        "false_positive_images": int((~shows & (counts.predicted > 0)).sum()),
    }


def predict_all(counts: ConfusionCounts) -> ConfusionCounts:
    """What `counts` would be, had every pixel of every image been predicted."""
    return ConfusionCounts(counts.true, counts.pixels - counts.true, counts.true * 0, counts.pixels)


def predict_none(counts: ConfusionCounts) -> ConfusionCounts:
    """What `counts` would be, had no pixel been predicted."""
    return ConfusionCounts(counts.true * 0, counts.true * 0, counts.true, counts.pixels)


BASELINES = {"predict_all": predict_all, "predict_none": predict_none}
"""Predictions that look at nothing: a figure means something where it is above theirs."""


def column(images: Sequence[ConfusionCounts], index: int) -> ConfusionCounts:
    """One class of I agreements of shape (C,), as one of shape (I,)."""
    names = [field.name for field in fields(ConfusionCounts)]
    return ConfusionCounts(
        *(np.array([getattr(image, name)[index] for image in images]) for name in names)
    )


def tidy(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of numbers as JSON can hold it: without NaN and what is left empty by that, rounded.

    Floats are rounded to `DIGITS`.
    """
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            if branch := tidy(value):
                result[key] = branch
        elif not math.isnan(value):
            result[key] = round(value, DIGITS) if isinstance(value, float) else value
    return result
