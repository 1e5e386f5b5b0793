"""One label for each pixel, as in papers on semantic segmentation: mIoU and the confusion matrix.

Class 0 is the background: what is of no class. Letters of shapes: C classes, H x W pixels.
"""

import csv
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maskquery.evaluation.counts import Counts, mean, ratio
from maskquery.evaluation.ground_truth import GroundTruth, TruePlanes
from maskquery.masks.packed import Packed, mask_areas, unpack


def is_measurable(truth: GroundTruth) -> bool:
    """Whether the ground truth gives each pixel one class at most: no two classes share a label."""
    labels = [label for labels_of_class in truth.labels.values() for label in set(labels_of_class)]
    return len(labels) == len(set(labels))


def label_map(planes: Packed, width: int) -> npt.NDArray[np.intp]:
    """(C, H, W8) packed bits to (H, W): the number of each pixel's class from 1, 0 without one.

    Of several classes, that with the fewest pixels in the image has the pixel, of equals the last:
    what is smaller lies in front, as where `selection.exclusive` is `pixels`.
    """
    labels = np.zeros((planes.shape[1], width), np.intp)
    areas = mask_areas(planes)
    for index in np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)]:
        labels[unpack(planes[index], width)] = index + 1
    return labels


def confusion(predicted: Packed, truth: TruePlanes, width: int) -> Counts:
    """Pixels of one image by true (row) and predicted (column) class: (C + 1, C + 1) int64.

    Args:
        predicted: (C, H, W8) packed bits.
        truth: of the same classes.
        width: W, pixels.
    """
    size = len(predicted) + 1
    pairs = label_map(truth.classes, width) * size + label_map(predicted, width)
    if truth.void is not None:
        pairs = pairs[~unpack(truth.void, width)]
    counted = np.bincount(pairs.ravel(), minlength=size * size)
    return counted.astype(np.int64).reshape(size, size)


def figures(matrix: Counts) -> dict[str, float]:
    """The figures of the confusion matrix of all images, (C + 1, C + 1); NaN without a pixel.

    - miou: the mean IoU over the classes that some pixel is of, or is predicted to be.
    - miou_with_background: so, too, the background being a class.
    - frequency_weighted_iou: the mean over classes and background, weighted by their true pixels.
    - pixel_accuracy: the share of pixels with the right class, or rightly with none.
    """
    true, right = matrix.sum(axis=1), matrix.diagonal()
    ious = ratio(right, true + matrix.sum(axis=0) - right)
    return {
        "miou": mean(ious[1:]),
        "miou_with_background": mean(ious),
        "frequency_weighted_iou": float(ratio((np.nan_to_num(ious) * true).sum(), true.sum())),
        "pixel_accuracy": float(ratio(right.sum(), true.sum())),
    }


def confusion_table(matrix: Counts, classes: Sequence[str]) -> str:
    """CSV: `true`, `predicted`, `pixels`, a row for each pair that occurs; "" is no class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true", "predicted", "pixels"])
    names = ["", *classes]
    for row, column in np.argwhere(matrix).tolist():
        writer.writerow([names[row], names[column], int(matrix[row, column])])
    return text.getvalue()
