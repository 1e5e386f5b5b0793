"""From low-resolution logits to stability score, box, area and pixels, without the images between.

Upstream interpolates every mask twice (low resolution -> model input -> image), then takes four
passes over all pixels. Bilinear interpolation is a convex combination of a cell's four corners:
where they lie in the same band between the three cuts (threshold - offset, threshold, threshold +
offset), so does every pixel of the cell, and counting it is a multiplication. Only the cells that
a cut runs through are evaluated pixel by pixel, in upstream's order of operations.

Letters: M masks, L side of the low-resolution logits, (h, w) the image inside the model's input
before padding, (H, W) the image itself.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_THREADS = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


@dataclass(frozen=True)
class Axis:
    """Bilinear interpolation along one axis as PyTorch does it (align_corners=False)."""

    first: Ints  # (n,) the nearer source index
    second: Ints  # (n,) the next one, or the same at the edge
    weight: Floats  # (n,) of the second
    starts: Ints  # (source + 1,) the outputs of source cell i are starts[i]:starts[i + 1]


def axis(source: int, target: int) -> Axis:
    """The taps for `target` outputs over `source` inputs."""
    ratio = np.float32(source / target)
    position = ratio * (np.arange(target, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    position = np.maximum(position, np.float32(0))
    first = np.minimum(position.astype(np.int64), source - 1)
    second = np.minimum(first + 1, source - 1)
    weight = np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)
    starts = np.searchsorted(first, np.arange(source + 1)).astype(np.int64)
    return Axis(first, second, weight, starts)


@dataclass(frozen=True)
class Geometry:
    """How a low-resolution mask becomes an image: the taps of both interpolations."""

    rows_in: Axis  # low resolution -> model input, cut to the image's part
    columns_in: Axis
    rows_out: Axis  # model input -> image
    columns_out: Axis

    @classmethod
    def between(
        cls, low: int, model: int, inside: tuple[int, int], image: tuple[int, int]
    ) -> "Geometry":
        """From `low` to `model` pixels a side, `inside` (h, w) of which are the image's (H, W)."""
        into = axis(low, model)

        def cut(size: int) -> Axis:
            return Axis(into.first[:size], into.second[:size], into.weight[:size], into.starts)

        return cls(cut(inside[0]), cut(inside[1]), axis(inside[0], image[0]), axis(inside[1], image[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.rows_out.first), len(self.columns_out.first)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _enlarge(low, rows0, rows1, row_weights, columns0, columns1, column_weights, out):  # type: ignore[no-untyped-def]
    """Interpolate one mask (L, L) to the model's input (h, w)."""
    for y in range(out.shape[0]):
        top, bottom = low[rows0[y]], low[rows1[y]]
        lower = row_weights[y]
        upper = np.float32(1) - lower
        for x in range(out.shape[1]):
            a, b, right = columns0[x], columns1[x], column_weights[x]
            left = np.float32(1) - right
            out[y, x] = upper * (left * top[a] + right * top[b]) + lower * (
                left * bottom[a] + right * bottom[b]
            )


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _bands(values, low, middle, high, out):  # type: ignore[no-untyped-def]
    """How many of the three cuts each value exceeds."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            v = values[y, x]
            out[y, x] = np.uint8(v > low) + np.uint8(v > middle) + np.uint8(v > high)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _scan(values, bands, middle, low, high, row_starts, row_weights, column_starts,  # type: ignore[no-untyped-def]
          column_weights, counts, box, mixed, pixels):
    """One mask's counts above the three cuts and its box; writes `pixels` unless it is empty."""
    height, width = values.shape
    draw = pixels.shape[0] > 0
    counts[:] = 0
    x_min, y_min, x_max, y_max = column_starts[width], row_starts[height], -1, -1
    for i in range(height):
        y_start, y_stop = row_starts[i], row_starts[i + 1]
        if y_start == y_stop:
            continue
        below = min(i + 1, height - 1)
        found = 0
        for j in range(width):
            x_start, x_stop = column_starts[j], column_starts[j + 1]
            if x_start == x_stop:
                continue
            right = min(j + 1, width - 1)
            band = bands[i, j]
            if band != bands[i, right] or band != bands[below, j] or band != bands[below, right]:
                mixed[found] = j
                found += 1
            elif band > 0:
                area = (y_stop - y_start) * (x_stop - x_start)
                for k in range(band):
                    counts[k] += area
                if band > 1:
                    x_min, x_max = min(x_min, x_start), max(x_max, x_stop - 1)
                    y_min, y_max = min(y_min, y_start), max(y_max, y_stop - 1)
                    if draw:
                        pixels[y_start:y_stop, x_start:x_stop] = 1
        for n in range(found):
            j = mixed[n]
            right = min(j + 1, width - 1)
            a, b, c, d = values[i, j], values[i, right], values[below, j], values[below, right]
            for y in range(y_start, y_stop):
                v1 = row_weights[y]
                v0 = np.float32(1) - v1
                for x in range(column_starts[j], column_starts[j + 1]):
                    h1 = column_weights[x]
                    h0 = np.float32(1) - h1
                    value = v0 * (h0 * a + h1 * b) + v1 * (h0 * c + h1 * d)
                    counts[0] += value > low
                    counts[2] += value > high
                    if value > middle:
                        counts[1] += 1
                        x_min, x_max = min(x_min, x), max(x_max, x)
                        y_min, y_max = min(y_min, y), max(y_max, y)
                        if draw:
                            pixels[y, x] = 1
    if counts[1] == 0:
        box[:] = 0
    else:
        box[0], box[1], box[2], box[3] = x_min, y_min, x_max, y_max


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _measure(lows, rows0, rows1, row_weights, columns0, columns1, column_weights,  # type: ignore[no-untyped-def]
             row_starts, out_row_weights, column_starts, out_column_weights,
             low, middle, high, counts, boxes, pixels):
    """`_enlarge`, `_bands` and `_scan` for each mask, in scratch memory that fits the cache."""
    values = np.empty((len(rows0), len(columns0)), np.float32)
    bands = np.empty(values.shape, np.uint8)
    mixed = np.empty(len(columns0), np.int64)
    for m in range(len(lows)):
        _enlarge(lows[m], rows0, rows1, row_weights, columns0, columns1, column_weights, values)
        _bands(values, low, middle, high, bands)
        _scan(values, bands, middle, low, high, row_starts, out_row_weights, column_starts,
              out_column_weights, counts[m], boxes[m], mixed, pixels[m])


def measure(
    lows: Floats, geometry: Geometry, threshold: float, offset: float
) -> tuple[Ints, Ints]:
    """Counts and boxes of masks at the image's size.

    Args:
        lows: (M, L, L) logits.
        geometry: of the image.
        threshold: a pixel above it belongs to the mask.
        offset: of the two further cuts that the stability score compares.

    Returns:
        counts (M, 3) int64: pixels above threshold - offset, threshold, threshold + offset.
        boxes (M, 4) int64: x0, y0, x1, y1 of the outermost pixels, inclusive as upstream's;
        zeros for an empty mask.
    """
    counts = np.zeros((len(lows), 3), np.int64)
    boxes = np.zeros((len(lows), 4), np.int64)
    nothing = np.zeros((len(lows), 0, 0), np.uint8)
    _in_threads(lows, geometry, threshold, offset, (counts, boxes, nothing))
    return counts, boxes


def draw(lows: Floats, geometry: Geometry, threshold: float) -> NDArray[np.uint8]:
    """The masks themselves, packed along the width: (M, H, ceil(W / 8)) uint8."""
    height, width = geometry.shape
    packed = np.zeros((len(lows), height, (width + 7) // 8), np.uint8)
    # A few masks at a time: unpacked pixels take eight times the room.
    step = max(_THREADS, (32 << 20) // max(1, height * width))
    for start in range(0, len(lows), step):
        part = lows[start : start + step]
        pixels = np.zeros((len(part), height, width), np.uint8)
        counts, boxes = np.zeros((len(part), 3), np.int64), np.zeros((len(part), 4), np.int64)
        _in_threads(part, geometry, threshold, 0.0, (counts, boxes, pixels))
        packed[start : start + step] = np.packbits(pixels, axis=-1)
    return packed


def _in_threads(
    lows: Floats,
    geometry: Geometry,
    threshold: float,
    offset: float,
    outputs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
) -> None:
    rows, columns = geometry.rows_in, geometry.columns_in
    taps = (rows.first, rows.second, rows.weight, columns.first, columns.second, columns.weight)
    taps += (geometry.rows_out.starts, geometry.rows_out.weight)
    taps += (geometry.columns_out.starts, geometry.columns_out.weight)
    cuts = (np.float32(threshold - offset), np.float32(threshold), np.float32(threshold + offset))
    lows = np.ascontiguousarray(lows, np.float32)

    def work(part: slice) -> None:
        run: Callable[..., None] = _measure
        run(lows[part], *taps, *cuts, *(output[part] for output in outputs))

    step = max(1, -(-len(lows) // _THREADS))
    parts = [slice(start, start + step) for start in range(0, len(lows), step)]
    if len(parts) == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, parts))
