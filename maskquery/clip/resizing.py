"""Pillow's bicubic resizing with antialiasing, of a box and of a mask's pixels in it.

CLIP is trained on images that Pillow has resized. Its steps are kept: along the rows, then along
the columns, with whole grey levels between. So are its integer weights, so that every pixel is
Pillow's: sums of integers are the same in any order. (Newer releases of Pillow begin with the
columns where an image is many times as high as wide; here rows always come first.) Two things make
it several times faster on large boxes:

* Around the box, or around the mask, everything has one colour. It is taken as zero, so that no
  larger image is made up, and only pixels of the box are touched.
* The image lies transposed, one colour after the other, so that the first pass, which takes nearly
  all the time, adds up whole rows of memory.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Part = tuple[int, int, int, int]

compiled = numba.njit(nogil=True, cache=True)

BITS = 32 - 8 - 2  # of a weight's fraction: Pillow's PRECISION_BITS


@dataclass(frozen=True)
class Taps:
    """How R outputs along an axis are made up: output i of inputs first[i], first[i] + 1, ..."""

    first: Ints  # (R,)
    weights: Ints  # (R, K), each row's sum is about 1 << BITS

    def moved(self, offset: int) -> "Taps":
        """For inputs of which the first `offset` are left out."""
        return Taps(self.first - offset, self.weights)


@lru_cache(maxsize=256)
def taps(length: int, resized: int, start: int, outputs: int) -> Taps:
    """Of `outputs` outputs from `start` on, where `length` inputs become `resized` outputs.

    Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (src/libImaging/Resample.c), in their
    order of work, with its bicubic filter, a = -1/2. The last ones are kept: both axes of a square
    have the same.
    """
    scale = length / resized
    stretch = max(scale, 1.0)
    centre = (start + np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - 2 * stretch + 0.5).astype(np.int32), 0)
    last = np.minimum((centre + 2 * stretch + 0.5).astype(np.int32), length)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    weights = _bicubic(np.abs((inputs - centre[:, None] + 0.5) * (1 / stretch)))
    weights[inputs >= last[:, None]] = 0
    weights /= weights.cumsum(axis=1)[:, -1:]
    rounded = np.trunc(weights * (1 << BITS) + np.copysign(0.5, weights))
    return Taps(first, rounded.astype(np.int32))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def planes(pixels: Bytes) -> Bytes:
    """(H, W, 3) to (3, W, H)."""
    height, width = pixels.shape[:2]
    made = np.empty((3, width, height), np.uint8)
    for plane, colour in zip(made, cv2.split(pixels), strict=True):
        cv2.transpose(colour, plane)
    return made


def resize(
    image: Bytes, part: Part, inside: Bytes, x: Taps, y: Taps, colour: tuple[int, int, int]
) -> Bytes:
    """A part of an image to R x R.

    Args:
        image: (3, W, H), of `planes`.
        part: x0, y0, x1, y1, half-open, w x h pixels of the image.
        inside: (w, h) uint8, 1 where pixels are to be seen, 0 where `colour` is; or (0, 0), where
            all are to be seen.
        x: along the rows; what it takes from beside the part is `colour`.
        y: along the columns.
        colour: red, green, blue.

    Returns:
        (R, R, 3).
    """
    out = np.empty((len(y.first), len(x.first), 3), np.uint8)
    for plane, background, channel in zip(image, colour, range(3), strict=True):
        _resize(
            plane, *part, inside, x.first, x.weights, y.first, y.weights, background, out, channel
        )
    return out


@compiled
def _resize(
    plane: Bytes, x0: int, y0: int, x1: int, y1: int, inside: Bytes, x_first: Ints,
    x_weights: Ints, y_first: Ints, y_weights: Ints, background: int, out: Bytes, channel: int,
) -> None:  # fmt: skip
    """One colour. Between the passes values are relative to the background."""
    width, height = x1 - x0, y1 - y0
    zero = np.int32(background)
    between = np.empty((height, len(x_first)), np.int32)
    row = np.empty(height, np.int32)
    for i in range(len(x_first)):
        row[:] = _start(x_weights[i], zero)
        for k in range(max(0, -x_first[i]), min(x_weights.shape[1], width - x_first[i])):
            x = x_first[i] + k
            values = plane[x0 + x, y0:y1]
            if len(inside) > 0:
                _add_inside(values, inside[x], x_weights[i, k], zero, row)
            else:
                _add(values, x_weights[i, k], zero, row)
        for y in range(height):
            between[y, i] = min(max(row[y] >> BITS, 0), 255) - zero
    total = np.empty(len(x_first), np.int32)
    for j in range(len(y_first)):
        total[:] = _start(y_weights[j], zero)
        for k in range(max(0, -y_first[j]), min(y_weights.shape[1], height - y_first[j])):
            _add(between[y_first[j] + k], y_weights[j, k], np.int32(0), total)
        for i in range(len(x_first)):
            out[j, i, channel] = min(max(total[i] >> BITS, 0), 255)


@compiled
def _start(weights: Ints, zero: np.int32) -> np.int32:
    """Of a sum: one half, and as much as the background adds if it is everywhere."""
    return np.int32((1 << (BITS - 1)) + zero * weights.sum())


@compiled
def _add(values: Bytes | Ints, weight: np.int32, zero: np.int32, row: Ints) -> None:
    for y in range(len(row)):
        row[y] += weight * (np.int32(values[y]) - zero)


@compiled
def _add_inside(values: Bytes, inside: Bytes, weight: np.int32, zero: np.int32, row: Ints) -> None:
    for y in range(len(row)):
        row[y] += weight * (np.int32(values[y]) - zero) * np.int32(inside[y])
