"""Which masks may stand for which class, whatever the threshold; and what becomes of their pixels.

Letters of shapes: N masks, C classes, H x W pixels, W8 = ceil(W / 8) bytes.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from maskquery.core.params import Section
from maskquery.masks.packed import ImageMasks, Packed, pack, unpack

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
Share = Annotated[float, Field(ge=0, le=1)]


class Selection(Section):
    """The section `selection` of params.yaml; its neutral values leave every mask as it is.

    Attributes:
        min_area, max_area: smaller and larger masks are left out; shares of the image's pixels,
            neutral at 0 and 1.
        at_border: false leaves out masks that touch the image's border; neutral at true.
        duplicate_iou: of two masks with a higher IoU than this (of masks, not boxes), the one with
            the lower quality (predicted IoU x stability score) is left out; neutral at 1.
        part_share: a mask is left out for a class if it contains more than this share of a smaller
            mask with a higher score: the smaller one is taken for the object; neutral at 1.
        min_region: smaller fragments of a mask are removed and smaller holes filled; shares of the
            mask's area, neutral at 0.
        exclusive: "masks": a mask counts only for the class with its highest score; "pixels": a
            pixel is of the class of the smallest selected mask over it; neutral at "none": a pixel
            may be of several classes.
    """

    min_area: Share
    max_area: Share
    at_border: bool
    duplicate_iou: Share
    part_share: Share
    min_region: Share
    exclusive: Literal["none", "masks", "pixels"]


def eligible(group: ImageMasks, score: Floats, candidates: Bools, settings: Selection) -> Bools:
    """Which of the candidates may stand for their class: (N, C) bool.

    Whether one may does not depend on the threshold that made it a candidate: what leaves a mask
    out for a class is a mask with a higher score, which is then a candidate too, or has nothing to
    do with scores.

    Args:
        group: the image's N masks.
        score: (N, C).
        candidates: (N, C) bool: all masks, or those above a threshold.
        settings: what leaves masks out.
    """
    pixels = group.height * group.width
    keep = (group.areas >= settings.min_area * pixels) & (group.areas <= settings.max_area * pixels)
    if not settings.at_border:
        keep &= (group.boxes[:, :2] > 0).all(axis=1)
        keep &= (group.boxes[:, 2:] < (group.width, group.height)).all(axis=1)
    if settings.duplicate_iou < 1 or settings.part_share < 1:
        most = _most_shared(group)
    if settings.duplicate_iou < 1:
        keep &= _without_duplicates(group, settings.duplicate_iou, keep, most)
    result: Bools = candidates & keep[:, None]
    if settings.exclusive == "masks" and score.size:
        result &= np.arange(score.shape[1]) == score.argmax(axis=1)[:, None]
    if settings.part_share < 1:
        result &= ~_wholes(group, score, result, settings.part_share, most)
    return result


def _without_duplicates(group: ImageMasks, limit: float, among: Bools, most: Counts) -> Bools:
    """Greedily, from the best on: those of `among` whose IoU with a better one is within limit."""
    quality, keep = group.predicted_iou * group.stability_score, np.zeros_like(among)
    areas = group.areas[:, None] + group.areas
    near = most > limit * (areas - most)
    order = np.argsort(-quality, kind="stable")
    for index in order[among[order]].tolist():
        keep[index] = not any(
            shared > limit * (areas[index, other] - shared)
            for other in np.flatnonzero(near[index] & keep).tolist()
            for shared in [count_shared_pixels(group, index, other)]
        )
    return keep


def _wholes(group: ImageMasks, score: Floats, among: Bools, limit: float, most: Counts) -> Bools:
    """Those of `among`, (N, C), that hold more than `limit` of a smaller one with a higher score.

    Both are of one class and of `among`. What was left out itself leaves out others all the same.
    """
    result, used = np.zeros_like(among), among.any(axis=1)
    parts = (group.areas < group.areas[:, None]) & (most > limit * group.areas) & used
    for whole in np.flatnonzero(parts.any(axis=1) & used).tolist():
        rows = np.flatnonzero(parts[whole])
        better = among[rows] & among[whole] & (score[rows] > score[whole])  # (K, C)
        for part, classes in zip(rows.tolist(), better, strict=True):
            if (classes & ~result[whole]).any():
                inside = count_shared_pixels(group, part, whole) > limit * group.areas[part]
                result[whole] |= classes & inside
    return result


def _most_shared(group: ImageMasks) -> Counts:
    """At most how many pixels two masks share, (N, N): those of the smaller one, and of both boxes.

    Most pairs need no other look than this.
    """
    first = np.maximum(group.boxes[:, None, :2], group.boxes[:, :2])
    last = np.minimum(group.boxes[:, None, 2:], group.boxes[:, 2:])
    sides = np.maximum(last - first, 0).astype(np.int64)
    most: Counts = np.minimum(sides[..., 0] * sides[..., 1], group.areas)
    return np.minimum(most, most.T)


def count_shared_pixels(group: ImageMasks, one: int, other: int) -> int:
    """How many pixels two masks share, counted where their boxes meet."""
    x0, y0 = np.maximum(group.boxes[one, :2], group.boxes[other, :2]).tolist()
    x1, y1 = np.minimum(group.boxes[one, 2:], group.boxes[other, 2:]).tolist()
    if x0 >= x1 or y0 >= y1:
        return 0
    part = (slice(y0, y1), slice(x0 // 8, -(-x1 // 8)))
    both = group.masks[one][part] & group.masks[other][part]
    return int(np.bitwise_count(both).sum(dtype=np.int64))


def refine(group: ImageMasks, rows: npt.NDArray[np.intp] | slice, settings: Selection) -> Packed:
    """The masks at `rows` without small fragments and holes: (K, H, W8) packed bits.

    They are the group's own, and no copy, if nothing is to be removed and `rows` is a slice.
    """
    masks = group.masks[rows]
    if not settings.min_region:
        return masks
    masks = masks.copy()
    for place, area in enumerate(group.areas[rows]):
        least = settings.min_region * area
        mask = unpack(masks[place], group.width)
        mask = ~_with_large_regions(~_with_large_regions(mask, least), least)
        masks[place] = pack(mask)
    return masks


def _with_large_regions(mask: Bools, least: float) -> Bools:
    """(H, W) bool with the connected regions of at least so many pixels; the largest stays."""
    import cv2  # takes a tenth of a second, and is seldom asked for

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # what is no region
    keep = areas >= min(least, areas.max())
    keep[0] = False
    result: Bools = keep[labels]
    return result


def exclusive_planes(masks: Packed, areas: npt.NDArray[np.int64], chosen: Bools) -> Packed:
    """Each pixel to the class of the smallest chosen mask over it: (C, H, W8) packed bits.

    Args:
        masks: (N, H, W8) packed bits.
        areas: (N,) pixels.
        chosen: (N, C) bool; a mask chosen for several classes gives its pixels to all of them.
    """
    planes = np.zeros((chosen.shape[1], *masks.shape[1:]), np.uint8)
    free = np.full(masks.shape[1:], 0xFF, np.uint8)
    for row in np.argsort(areas, kind="stable"):
        if chosen[row].any():
            planes[chosen[row]] |= masks[row] & free
            free &= ~masks[row]
    return planes
