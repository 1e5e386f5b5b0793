"""Connected regions and boundaries of masks, by OpenCV.

A region stands for an object where the ground truth has classes only: two chairs that touch are
one, a chair behind a table leg is two. OpenCV is imported where it is used: it takes a tenth of a
second, which a stage without ground truth need not wait for.

Letters of shapes: K regions, C classes, H x W pixels, W8 = ceil(W / 8) bytes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskquery.masks.packed import Packed, pack, unpack

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

SPECK = 1e-4
"""Regions that are a smaller share of the image are left out: nobody would call them objects."""

BOUNDARY_SHARE = 0.02
"""Of the image's diagonal: how thick a boundary is, as in Cheng et al. 2021."""

SIZES = ("small", "medium", "large")

_COCO_AREAS = (32**2, 96**2)
_COCO_PIXELS = 640 * 480


@dataclass(frozen=True)
class Objects:
    """The regions of all classes in one image's ground truth, K of them.

    Attributes:
        classes: (K,) int64, index of the class.
        areas: (K,) int64, pixels.
        tp: (K,) int64, how many of them are predicted to be of the class.
        pixels: of the image.
    """

    classes: Counts
    areas: Counts
    tp: Counts
    pixels: int


def regions(plane: Bools) -> Iterator[Bools]:
    """The 8-connected regions of (H, W) bool that are no specks, each (H, W) bool."""
    names, areas = _regions(plane)
    return (names == index + 1 for index in np.flatnonzero(areas >= SPECK * plane.size))


def objects(predicted: Packed, true: Packed, width: int) -> Objects:
    """The objects of one image, specks left out; both (C, H, W8) packed bits."""
    pixels = true.shape[1] * width
    columns: list[tuple[Counts, Counts, Counts]] = [(np.empty(0, np.int64),) * 3]
    for index in np.flatnonzero(true.any(axis=(1, 2))):
        plane = unpack(true[index], width)
        box = _box(plane)
        names, areas = _regions(plane[box])
        inside = unpack(predicted[index], width)[box]
        true_positives = np.bincount(names[inside], minlength=len(areas) + 1)[1:]
        kept = areas >= SPECK * pixels
        columns.append((np.full(kept.sum(), index, np.int64), areas[kept], true_positives[kept]))
    classes, sizes, tp = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return Objects(classes, sizes, tp, pixels)


def _box(plane: Bools) -> tuple[slice, slice]:
    """The rows and columns of the smallest box around what is set."""
    import cv2

    x, y, width, height = cv2.boundingRect(plane.view(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def _regions(plane: Bools) -> tuple[npt.NDArray[np.int32], Counts]:
    """The number of each pixel's region, from 1, 0 outside, (H, W); their areas in that order."""
    import cv2

    _, names, stats, _ = cv2.connectedComponentsWithStats(plane.view(np.uint8), connectivity=8)
    return names.astype(np.int32, copy=False), stats[1:, cv2.CC_STAT_AREA].astype(np.int64)


def size_of(areas: Counts, pixels: int) -> npt.NDArray[np.intp]:
    """Index into `SIZES` of objects of such areas in an image of so many pixels.

    COCO calls objects below 32 x 32 pixels small and from 96 x 96 on large, in images of about
    640 x 480; here the borders are those shares of the image, 1/300 and 3/100.

    Source: https://cocodataset.org/#detection-eval
    """
    sizes: npt.NDArray[np.intp] = np.digitize(areas * (_COCO_PIXELS / pixels), _COCO_AREAS)
    return sizes


def boundaries(planes: Packed, width: int) -> Packed:
    """The pixels of each mask that are near its edge: (C, H, W8) packed bits, the same shape.

    A pixel is near the edge if a pixel outside the mask, or outside the image, is within 2 % of the
    image's diagonal, in rows and in columns. IoU of such bands is Boundary IoU, which does not
    forgive large objects a wrong outline.

    Source: Cheng et al. 2021, https://arxiv.org/abs/2103.16562, and its reference implementation,
    https://github.com/bowenc0221/boundary-iou-api
    """
    import cv2

    height = planes.shape[1]
    distance = max(1, round(BOUNDARY_SHARE * math.hypot(height, width)))
    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    edges = planes.copy()
    for index in np.flatnonzero(planes.any(axis=(1, 2))):
        mask = unpack(planes[index], width)
        rows, columns = _box(mask)
        first = columns.start // 8  # byte
        part = mask[rows, 8 * first : columns.stop].view(np.uint8)
        inner = cv2.erode(part, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        packed = pack(inner.view(np.bool_))
        edges[index, rows, first : first + packed.shape[1]] &= ~packed
    return edges
