"""Pillow's bicubic resizing with antialiasing, of a box and of a mask's pixels in it.

CLIP is trained on images that Pillow has resized. Its steps are kept: along the rows, then along
the columns, with whole grey levels between, so that results differ by one level at most, where
float32 rounds the other way. Two things make it several times faster on large boxes:

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
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Part = tuple[int, int, int, int]

# Sums may be taken in any order, or else they would not be vectorised.
compiled = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})


@dataclass(frozen=True)
class Taps:
    """How R outputs along an axis are made up: output i of inputs first[i], first[i] + 1, ..."""

    first: Ints  # (R,)
    weights: Floats  # (R, K), each row's sum is 1

    def moved(self, offset: int) -> "Taps":
        """For inputs of which the first `offset` are left out."""
        return Taps(self.first - offset, self.weights)


@lru_cache(maxsize=256)
def taps(length: int, start: float, stop: float, outputs: int) -> Taps:
    """Of the part of an axis from `start` to `stop`, where inputs are from 0 to `length`.

    Pillow's `precompute_coeffs` (src/libImaging/Resample.c) with its bicubic filter, a = -1/2.
    The last ones are kept: both axes of a square have the same.
    """
    scale = (stop - start) / outputs
    stretch = max(scale, 1.0)
    centre = start + (np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - 2 * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + 2 * stretch + 0.5).astype(np.int64), length)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    weights = _bicubic(np.abs(inputs - centre[:, None] + 0.5) / stretch)
    weights[inputs >= last[:, None]] = 0
    return Taps(first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
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
    x_weights: Floats, y_first: Ints, y_weights: Floats, background: int, out: Bytes, channel: int,
) -> None:  # fmt: skip
    """One colour. Between the passes values are relative to the background."""
    width, height = x1 - x0, y1 - y0
    zero = np.float32(background)
    between = np.empty((len(x_first), height), np.float32)
    for i in range(len(x_first)):
        row = between[i]
        row[:] = 0
        for k in range(max(0, -x_first[i]), min(x_weights.shape[1], width - x_first[i])):
            x = x_first[i] + k
            values = plane[x0 + x, y0:y1]
            if len(inside) > 0:
                _add_inside(values, inside[x], x_weights[i, k], zero, row)
            else:
                _add(values, x_weights[i, k], zero, row)
        for y in range(height):
            row[y] = min(max(np.floor(row[y] + zero + np.float32(0.5)), 0), 255) - zero
    for j in range(len(y_first)):
        start = max(0, -y_first[j])
        count = min(y_weights.shape[1], height - y_first[j]) - start
        weights = y_weights[j, start : start + max(count, 0)]
        for i in range(len(x_first)):
            total = zero + np.float32(0.5)
            for k in range(count):
                total += weights[k] * between[i, y_first[j] + start + k]
            out[j, i, channel] = min(max(np.floor(total), 0), 255)


@compiled
def _add(values: Bytes, weight: np.float32, zero: np.float32, row: Floats) -> None:
    for y in range(len(row)):
        row[y] += weight * (np.float32(values[y]) - zero)


@compiled
def _add_inside(
    values: Bytes, inside: Bytes, weight: np.float32, zero: np.float32, row: Floats
) -> None:
    for y in range(len(row)):
        row[y] += weight * (np.float32(values[y]) - zero) * np.float32(inside[y])
