"""Where predictions are right and wrong: by the size of objects, and by how cluttered an image is.

Letters of shapes: I images, C classes, K objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.evaluation import regions
from maskquery.evaluation.counts import ConfusionCounts, Floats, agreement, column, iou, mean, ratio
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.evaluation.regions import SIZES, Objects
from maskquery.masks.packed import Packed

CLUTTER = ("low", "medium", "high")


@dataclass(frozen=True)
class ImageResult:
    """What one image's prediction is worth.

    Attributes:
        counts: pixels of each class, (C,).
        boundary: the same of the bands along the edges, see `regions.boundaries`.
        objects: of the ground truth.
    """

    counts: ConfusionCounts
    boundary: ConfusionCounts
    objects: Objects


def compare(predicted: Packed, truth: TruePlanes, width: int) -> ImageResult:
    """Compare one image's classes.

    Void pixels are taken out of predictions first, so that all that follows, edges too, is of what
    is left.

    Args:
        predicted: (C, H, W8) packed bits.
        truth: of the same classes.
        width: W, pixels.
    """
    predicted, true = truth.without_void(predicted), truth.classes
    edges = [regions.boundaries(planes, width) for planes in (predicted, true)]
    pixels = truth.pixels(width)
    return ImageResult(
        counts=agreement(predicted, true, pixels),
        boundary=agreement(edges[0], edges[1], pixels),
        objects=regions.objects(predicted, true, width),
    )


def by_size(results: Sequence[ImageResult], index: int) -> dict[str, dict[str, Any]]:
    """Figures of one class by the size of its objects, for each of `SIZES`.

    - objects: how many there are.
    - recall: the mean over them of the share of their pixels that was found.
    - images, mean_image_iou: of the images whose largest object of the class is of that size. False
      alarms belong to no object, so that an IoU is that of an image and not of an object.
    """
    sizes, true_positives, largest = [np.empty(0, np.intp)], [np.empty(0)], []
    for result in results:
        rows = result.objects.classes == index
        areas = result.objects.areas[rows]
        bins = regions.size_of(areas, result.objects.pixels)
        sizes.append(bins)
        true_positives.append(ratio(result.objects.tp[rows], areas))
        largest.append(int(bins.max()) if len(bins) else -1)
    size, share = np.concatenate(sizes), np.concatenate(true_positives)
    image_ious, of_image = iou(column([r.counts for r in results], index)), np.array(largest)
    return {
        name: {
            "objects": int((size == place).sum()),
            "recall": mean(share[size == place]),
            "images": int((of_image == place).sum()),
            "mean_image_iou": mean(image_ious[of_image == place]),
        }
        for place, name in enumerate(SIZES)
    }


def clutter_of(results: Sequence[ImageResult]) -> tuple[npt.NDArray[np.intp], list[int]]:
    """Index into `CLUTTER` of each image, (I,); the most objects of an image of each level.

    An image is as cluttered as it shows objects, of all classes together: connected regions of the
    ground truth, so that occlusion, which cuts objects into pieces, counts too. The levels are the
    thirds of these images; images with equally many objects are on one level.
    """
    counts = np.array([len(result.objects.areas) for result in results])
    edges = np.quantile(counts, [1 / 3, 2 / 3], method="inverted_cdf").astype(int)
    return np.searchsorted(edges, counts), [*edges.tolist(), int(counts.max())]


def by_clutter(counts: ConfusionCounts, levels: npt.NDArray[np.intp]) -> dict[str, dict[str, Any]]:
    """Figures of one class by the clutter of the image, for each of `CLUTTER`.

    - images, mean_image_iou: of the images that show the class.
    - images_without_class, false_positive_images: images that do not, and how many of them have
    pixels predicted.
    """
    shown, ious = counts.true > 0, iou(counts)
    return {
        name: {
            "images": int((shown & (levels == place)).sum()),
            "mean_image_iou": mean(ious[shown & (levels == place)]),
            "images_without_class": int((~shown & (levels == place) & (counts.pixels > 0)).sum()),
            "false_positive_images": int(
                (~shown & (levels == place) & (counts.predicted > 0)).sum()
            ),
        }
        for place, name in enumerate(CLUTTER)
    }


def over_classes(groups: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each group's figures over the classes: counts are added, of all else the mean is taken."""
    result: dict[str, dict[str, Any]] = {}
    for name, figures in groups[0].items():
        result[name] = {
            key: sum(each[name][key] for each in groups)
            if isinstance(value, int)
            else mean(_floats([each[name][key] for each in groups]))
            for key, value in figures.items()
        }
    return result


def _floats(values: Sequence[float]) -> Floats:
    return np.array(values, np.float64)
