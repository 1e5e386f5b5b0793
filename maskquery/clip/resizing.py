"""Pillow's bicubic and bilinear resizing with antialiasing, of a box and of a mask's pixels in it.

CLIP is trained on images that Pillow resized. Every pixel here equals Pillow's: the passes are the
same (along the rows, then along the columns, rounded to whole grey levels between), and so are the
integer weights, whose sums do not depend on the order. (Newer releases of Pillow begin with the
columns if an image is many times as high as wide; here rows always come first.) Two changes make it
several times faster on large boxes:

* Outside the box, or outside the mask, all pixels have one background colour. Values are relative
  to it, so these pixels are zero and add nothing: the padded image is never built.
* The image is transposed and stored plane by plane, so that the first pass, which takes nearly all
  the time, adds contiguous rows of memory.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Part = tuple[int, int, int, int]
Kernel = Literal["bicubic", "bilinear"]

compiled = numba.njit(nogil=True, cache=True)

BITS = 32 - 8 - 2  # of the fraction of a weight: Pillow's PRECISION_BITS


@dataclass(frozen=True)
class Taps:
    """A filter along an axis: each of R outputs is a weighted sum of K inputs.

    Attributes:
        first: (R,) int32; output i is of inputs first[i] to first[i] + K - 1.
        weights: (R, K) int32, in units of 2 ** -BITS; the sum of a row is about 1 << BITS.
    """

    first: Ints
    weights: Ints

    def shift(self, offset: int) -> "Taps":
        """The taps for inputs without the first `offset` of them; indices may become negative."""
        return Taps(self.first - offset, self.weights)


@lru_cache(maxsize=256)
def taps(length: int, resized: int, start: int, outputs: int, kernel: Kernel = "bicubic") -> Taps:
    """Taps along one axis.

    Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (src/libImaging/Resample.c), operation
    by operation, with its bicubic filter (a = -1/2) or its bilinear one. Results are cached: both
    axes of a square have the same taps.

    Args:
        length: number of inputs.
        resized: number of outputs that they would become.
        start: the first of these outputs that is computed.
        outputs: how many are.
        kernel: the filter.
    """
    support = 2 if kernel == "bicubic" else 1
    scale = length / resized
    stretch = max(scale, 1.0)
    centre = (start + np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - support * stretch + 0.5).astype(np.int32), 0)
    last = np.minimum((centre + support * stretch + 0.5).astype(np.int32), length)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    distances = np.abs((inputs - centre[:, None] + 0.5) * (1 / stretch))
    weights = _bicubic(distances) if kernel == "bicubic" else np.maximum(1 - distances, 0)
    weights[inputs >= last[:, None]] = 0
    weights /= weights.cumsum(axis=1)[:, -1:]
    rounded = np.trunc(weights * (1 << BITS) + np.copysign(0.5, weights))
    return Taps(first, rounded.astype(np.int32))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def planes(pixels: Bytes) -> Bytes:
    """An image (H, W, 3) as transposed planes (3, W, H)."""
    height, width = pixels.shape[:2]
    out = np.empty((3, width, height), np.uint8)
    for plane, channel in zip(out, cv2.split(pixels), strict=True):
        cv2.transpose(channel, plane)
    return out


def resize(
    image: Bytes, part: Part, inside: Bytes, x: Taps, y: Taps, colour: tuple[int, int, int]
) -> Bytes:
    """Resize a part of an image to R x R.

    The plain version is Pillow, on an image in which `colour` replaces what is outside the mask:

    >>> from PIL import Image
    >>> rng = np.random.default_rng(0)
    >>> image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    >>> inside = rng.integers(0, 2, (40, 40), np.uint8)  # of the part, (h, w)
    >>> x0, y0, x1, y1 = part = (30, 10, 70, 50)
    >>> plain = np.where(inside[..., None] > 0, image[y0:y1, x0:x1], (123, 117, 104))
    >>> plain = Image.fromarray(plain.astype(np.uint8)).resize((16, 16), Image.Resampling.BICUBIC)
    >>> to_16 = taps(40, 16, 0, 16)
    >>> out = resize(planes(image), part, inside.T.copy(), to_16, to_16, (123, 117, 104))
    >>> assert (out == np.asarray(plain)).all()

    Args:
        image: (3, W, H) uint8, of `planes`.
        part: x0, y0, x1, y1, half-open: w x h pixels of the image.
        inside: (w, h) uint8, 1 where the image is shown and 0 where `colour` is; or (0, 0), where
            the image is shown everywhere.
        x: taps along the rows; inputs beyond the part are `colour`.
        y: taps along the columns, likewise.
        colour: red, green, blue.

    Returns:
        (R, R, 3) uint8.
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
    """Resize one channel.

    Shapes:
        plane: (W, H) uint8.
        x0, y0, x1, y1: the part, w x h pixels.
        inside: (w, h) or (0, 0), as in `resize`.
        x_first: (R,) of the taps along the rows, which have K weights.
        x_weights: (R, K).
        y_first: (R,) of the taps along the columns.
        y_weights: (R, K').
        background: 0 to 255.
        out: (R, R, 3); its `channel` is filled.
    """
    width, height = x1 - x0, y1 - y0
    zero = np.int32(background)
    first_pass = np.empty((height, len(x_first)), np.int32)  # grey levels above the background
    column = np.empty(height, np.int32)  # sums of one column of the first pass
    for i in range(len(x_first)):
        column[:] = _initial_sum(x_weights[i], zero)
        for k in range(max(0, -x_first[i]), min(x_weights.shape[1], width - x_first[i])):
            x = x_first[i] + k
            values = plane[x0 + x, y0:y1]
            if len(inside) > 0:
                _add_inside(values, inside[x], x_weights[i, k], zero, column)
            else:
                _add(values, x_weights[i, k], zero, column)
        for y in range(height):
            first_pass[y, i] = min(max(column[y] >> BITS, 0), 255) - zero
    row = np.empty(len(x_first), np.int32)  # sums of one row of the output
    for j in range(len(y_first)):
        row[:] = _initial_sum(y_weights[j], zero)
        for k in range(max(0, -y_first[j]), min(y_weights.shape[1], height - y_first[j])):
            _add(first_pass[y_first[j] + k], y_weights[j, k], np.int32(0), row)
        for i in range(len(x_first)):
            out[j, i, channel] = min(max(row[i] >> BITS, 0), 255)


@compiled
def _initial_sum(weights: Ints, zero: np.int32) -> np.int32:
    """What a sum begins with: one half, for rounding, and the sum of a background everywhere."""
    return np.int32((1 << (BITS - 1)) + zero * weights.sum())


@compiled
def _add(values: Bytes | Ints, weight: np.int32, zero: np.int32, sums: Ints) -> None:
    """Add weighted values (S,), relative to the background, to sums (S,)."""
    for y in range(len(sums)):
        sums[y] += weight * (np.int32(values[y]) - zero)


@compiled
def _add_inside(values: Bytes, inside: Bytes, weight: np.int32, zero: np.int32, sums: Ints) -> None:
    """As `_add`, where `inside` (S,) is 1; elsewhere values are the background and add nothing."""
    for y in range(len(sums)):
        sums[y] += weight * (np.int32(values[y]) - zero) * np.int32(inside[y])
