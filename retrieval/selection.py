"""Which masks may stand for which class, before any threshold: numpy on packed bits.

Letters of shapes: N masks, C classes, H x W pixels, W8 = ceil(W / 8) bytes.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval.masks import Packed
from retrieval.params import Section

Bools = npt.NDArray[np.bool_]
Share = Annotated[float, Field(ge=0, le=1)]


class Selection(Section):
    """The section `selection` of params.yaml; the neutral values leave every mask to every class.

    Attributes:
        min_area, max_area: smaller and larger masks are left out; shares of the image's pixels,
            neutral at 0 and 1.
        duplicate_iou: of two masks whose IoU is above it, the one with the lower predicted IoU is
            left out; neutral at 1.
        exclusive: true gives each mask only to the class with its highest score.
    """

    min_area: Share
    max_area: Share
    duplicate_iou: Share
    exclusive: bool


def eligible(
    masks: Packed,
    width: int,
    quality: npt.NDArray[np.float32],
    score: npt.NDArray[np.float32],
    settings: Selection,
) -> Bools:
    """Which of N masks may stand for which of C classes: (N, C) bool.

    Args:
        masks: (N, H, W8) packed bits.
        width: W, pixels.
        quality: (N,) predicted IoU.
        score: (N, C).
        settings: what leaves masks out.
    """
    areas = np.bitwise_count(masks).sum(axis=(1, 2), dtype=np.int64)
    pixels = masks.shape[1] * width
    kept = (areas >= settings.min_area * pixels) & (areas <= settings.max_area * pixels)
    if settings.duplicate_iou < 1:
        kept &= _without_duplicates(masks, areas, quality, settings.duplicate_iou, kept)
    result = np.broadcast_to(kept[:, None], score.shape)
    if settings.exclusive and score.size:
        result = result & (np.arange(score.shape[1]) == score.argmax(axis=1)[:, None])
    return result


def _without_duplicates(
    masks: Packed,
    areas: npt.NDArray[np.int64],
    quality: npt.NDArray[np.float32],
    limit: float,
    among: Bools,
) -> Bools:
    """Greedily, from the best on: those of `among` whose IoU with a better one is within limit."""
    kept: list[int] = []
    for index in np.argsort(-quality, kind="stable"):
        if not among[index]:
            continue
        # No IoU exceeds the ratio of areas, which spares most of the counting.
        near = [
            other
            for other in kept
            if min(areas[index], areas[other]) > limit * max(areas[index], areas[other])
        ]
        shared = np.bitwise_count(masks[near] & masks[index]).sum(axis=(1, 2), dtype=np.int64)
        if np.all(shared <= limit * (areas[near] + areas[index] - shared)):
            kept.append(int(index))
    result = np.zeros(len(masks), np.bool_)
    result[kept] = True
    return result
