"""An image cut up along the edges of all its masks and of the ground truth, for the page to draw.

A region is the set of all pixels that lie in exactly the same masks and classes. So a prediction,
whatever the class and the threshold, is a union of regions, and its pixels are counted by adding up
the regions' sizes: the page does that without asking again, and exactly. A hundred masks of 98,304
bytes become some hundred thousand runs of pixels at 8 bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskquery.masks.packed import Packed, unpack

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Regions:
    """R regions of an image and P planes, which are masks or classes.

    Attributes:
        lengths: (L,) uint32, pixels of each run, row after row; a run may go on in the next row.
        runs: (L,) uint32, the region of each run.
        sizes: (R,) uint32, pixels.
        members: (R, ceil(P / 8)) uint8, packed bits: in which planes the region lies.
    """

    lengths: Words
    runs: Words
    sizes: Words
    members: npt.NDArray[np.uint8]


def cut(planes: Packed, width: int) -> Regions:
    """The regions of an image.

    Args:
        planes: (P, H, W8) packed bits.
        width: W, pixels.
    """
    pixels = planes.shape[1] * width
    columns = list(_columns(planes, width))
    changes = np.zeros(pixels - 1, np.bool_)
    for column in columns:
        changes |= column[1:] != column[:-1]
    starts = np.append(0, np.flatnonzero(changes) + 1)
    lengths = np.diff(starts, append=pixels)
    keys = np.zeros((len(starts), -(-max(len(columns), 1) // 8) * 8), np.uint8)
    for number, column in enumerate(columns):
        keys[:, number] = column[starts]
    order = np.lexsort(keys.view(np.uint64).T)
    ordered = keys[order]
    first = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))
    runs = np.empty(len(starts), np.uint32)
    runs[order] = np.cumsum(first) - 1
    sizes = np.bincount(runs, lengths).astype(np.uint32)  # float64 counts pixels exactly
    return Regions(lengths.astype(np.uint32), runs, sizes, ordered[first, : len(columns)])


def _columns(planes: Packed, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Eight planes at a time as a byte of each pixel, (H * W,), the first the highest bit."""
    for start in range(0, len(planes), 8):
        eight = unpack(planes[start : start + 8], width)
        column = np.zeros(eight[0].size, np.uint8)
        for number, plane in enumerate(eight):
            column |= plane.reshape(-1).view(np.uint8) << np.uint8(7 - number)
        yield column
