"""Compiled loops of `upsampling`: a mask's pixels at the image's size, strip by strip.

A pixel is interpolated from four middle values (those of the model's input), each of these from
four low-resolution logits, in PyTorch's order of operations. Bilinear interpolation is a convex
combination: where all logits that take part lie in one band between the cuts, so do all pixels,
and filling a rectangle stands for evaluating them. What is left are the mask's edges.

Arguments are plain arrays, and slices few: named tuples of arrays take seconds to compile and as
long to hand on as a short row takes to evaluate.

Interpolation along an axis is described by `starts` and `weights`: outputs starts[i]:starts[i + 1]
lie between sources i and i + 1, and `weights` are the second one's.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Counts = NDArray[np.int32]

MOST_ROWS = 1023  # that are counted in ten bits
SHORT_RUN = 1  # cells of one band between two others: evaluating them, too, is faster than stopping

compiled = numba.njit(nogil=True, cache=True)


@compiled
def scan_all(
    lows: Floats, row_starts: Ints, row_weights: Floats, column_starts: Ints,
    column_weights: Floats, tops: Ints, top_weights: Floats, edges: Ints, edge_weights: Floats,
    cuts: Floats, counts: Ints, boxes: Ints, pixels: Bytes,
) -> None:  # fmt: skip
    """Count and draw masks (M, L, L).

    Args:
        lows: (M, L, L).
        row_starts: (L + 1,) from the logits to h rows of middle values.
        row_weights: (h,).
        column_starts: (L + 1,) to their w columns.
        column_weights: (w,).
        tops: (h + 1,) from the middle values to the H rows of pixels.
        top_weights: (H,).
        edges: (w + 1,) to their W columns.
        edge_weights: (W,).
        cuts: (3,), ascending.
        counts: (M, 3), all 0; becomes the number of pixels above each cut.
        boxes: (M, 4), all 0; becomes x0, y0, x1, y1, inclusive, of what is above the second cut.
        pixels: (M, H, W), all 0; becomes 1 above the second cut. If (M, 0, 0), nothing is drawn.
    """
    side = lows.shape[1]
    rows, columns = np.empty(len(top_weights), np.uint8), np.empty(len(edge_weights), np.uint8)
    bands = np.empty((side, side), np.uint8)
    across = np.empty((side, len(column_weights) + 1), np.float32)
    for m in range(len(lows)):
        rows[:] = 0
        columns[:] = 0
        for y in range(side):
            _classify(lows[m, y], cuts, bands[y])
        _scan(
            lows[m], bands, row_starts, row_weights, column_starts, column_weights,
            tops, top_weights, edges, edge_weights, cuts, across,
            counts[m], rows, columns, pixels[m],
        )  # fmt: skip
        if counts[m, 1] > 0:
            boxes[m, 0], boxes[m, 2] = _ends(columns)
            boxes[m, 1], boxes[m, 3] = _ends(rows)


@compiled
def _ends(hit: Bytes) -> tuple[int, int]:
    """The first and the last index that is not 0; there is one."""
    first, last = 0, len(hit) - 1
    while hit[first] == 0:
        first += 1
    while hit[last] == 0:
        last -= 1
    return first, last


@compiled
def _classify(values: Floats, cuts: Floats, bands: Bytes) -> None:
    """How many of the three cuts each value exceeds."""
    low, middle, high = cuts[0], cuts[1], cuts[2]
    for x in range(len(values)):
        v = values[x]
        bands[x] = np.uint8(v > low) + np.uint8(v > middle) + np.uint8(v > high)


@compiled
def _blend(first: Floats, second: Floats, share: float, out: Floats) -> None:
    """Between two rows; `share` is the second's."""
    rest = np.float32(1) - share
    for x in range(len(out)):
        out[x] = rest * first[x] + share * second[x]


@compiled
def _scan(
    low: Floats, bands: Bytes, row_starts: Ints, row_weights: Floats, column_starts: Ints,
    column_weights: Floats, tops: Ints, top_weights: Floats, edges: Ints, edge_weights: Floats,
    cuts: Floats, across: Floats, counts: Ints, rows: Bytes, columns: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """One mask. A strip is what lies between two rows of logits.

    Middle values end with a copy of the last row and of the last column.
    """
    side, height = len(low), len(row_weights)
    tallest = 0
    for i in range(side):
        tallest = max(tallest, row_starts[i + 1] - row_starts[i])
    values = np.empty((tallest + 1, across.shape[1]), np.float32)
    value_bands = np.empty(values.shape, np.uint8)
    between = np.empty((2, len(columns)), np.float32)
    sums = np.empty(len(columns), np.int32)
    done = 0  # rows of `across` that are computed
    for i in range(side):
        start, stop = row_starts[i], row_starts[i + 1]
        if start == stop:
            continue
        left, right = _mixed_part(bands, i)
        x0, x1 = column_starts[left], column_starts[right]
        y0, y1 = tops[start], tops[stop]
        _fill(bands[i, 0], y0, y1, 0, edges[x0], counts, rows, columns, pixels)
        _fill(bands[i, -1], y0, y1, edges[x1], edges[-1], counts, rows, columns, pixels)
        if x0 == x1:
            continue
        for r in range(max(done, i), min(i + 3, side)):
            _blend_along(low[r], column_starts, column_weights, across[r])
            done = r + 1
        for y in range(start, stop + 1):
            source = i if y < stop or stop == height else i + 1
            upper, lower = across[source], across[min(source + 1, side - 1)]
            own, weight = values[y - start], row_weights[min(y, height - 1)]
            _blend(upper[x0 : x1 + 1], lower[x0 : x1 + 1], weight, own[x0 : x1 + 1])
            _classify(own[x0 : x1 + 1], cuts, value_bands[y - start, x0 : x1 + 1])
        _scan_strip(
            values, value_bands, x0, x1, tops[start : stop + 1], top_weights, edges,
            edge_weights, cuts, between, sums, counts, rows, columns, pixels,
        )  # fmt: skip


@compiled
def _blend_along(source: Floats, starts: Ints, weights: Floats, out: Floats) -> None:
    """A row of logits (L,) to the middle values' columns, the last of them twice."""
    last = len(source) - 1
    for j in range(last + 1):
        a, b = source[j], source[min(j + 1, last)]
        for x in range(starts[j], starts[j + 1]):
            share = weights[x]
            out[x] = (np.float32(1) - share) * a + share * b
    out[-1] = out[-2]


@compiled
def _mixed_part(bands: Bytes, i: int) -> tuple[int, int]:
    """The columns of logits between which strip i is not simply its first or its last band."""
    last = len(bands) - 1
    own, second, third = bands[i], bands[min(i + 1, last)], bands[min(i + 2, last)]
    left, right = 0, len(bands)
    while left < right and own[left] == second[left] == third[left] == own[0]:
        left += 1
    if left == right:
        return 0, 0
    while own[right - 1] == second[right - 1] == third[right - 1] == own[last]:
        right -= 1
    # A pixel takes part of its value from logits up to two columns to its right.
    return max(left - 2, 0), right


@compiled
def _fill(
    band: int, y0: int, y1: int, x0: int, x1: int,
    counts: Ints, rows: Bytes, columns: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """A rectangle of one band."""
    if band == 0 or y0 >= y1 or x0 >= x1:
        return
    for k in range(band):
        counts[k] += (y1 - y0) * (x1 - x0)
    if band > 1:
        rows[y0] = rows[y1 - 1] = 1
        columns[x0] = columns[x1 - 1] = 1
        if len(pixels) > 0:
            pixels[y0:y1, x0:x1] = 1


@compiled
def _scan_strip(
    values: Floats, bands: Bytes, x0: int, x1: int, tops: Ints, top_weights: Floats, edges: Ints,
    edge_weights: Floats, cuts: Floats, between: Floats, sums: Counts,
    counts: Ints, rows: Bytes, columns: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """The image's pixels between rows of middle values, columns x0 to x1 of which are given.

    Cells whose corners are all of one band come in runs of that band; the others are evaluated.
    """
    above, below = between[0], between[1]
    for k in range(len(tops) - 1):
        y0, y1 = tops[k], tops[k + 1]
        upper, lower = bands[k], bands[k + 1]
        x = x0
        while x < x1 and y0 < y1:
            start, band = x, upper[x]
            if lower[x] == band:
                while x < x1 and upper[x + 1] == band and lower[x + 1] == band:
                    x += 1
            if x > start:
                _fill(band, y0, y1, edges[start], edges[x], counts, rows, columns, pixels)
                continue
            stop = x + 1
            while x < x1 and x - stop < SHORT_RUN:
                if not upper[x] == lower[x] == upper[x + 1] == lower[x + 1]:
                    stop = x + 1
                x += 1
            x = stop
            _blend_cells(values, k, start, x, edges, edge_weights, above, below)
            for y in range(y0, y1, MOST_ROWS):
                _evaluate(
                    above, below, y, min(y + MOST_ROWS, y1), top_weights, edges[start], edges[x],
                    cuts, sums, counts, rows, columns, pixels,
                )  # fmt: skip


@compiled
def _blend_cells(
    values: Floats, k: int, start: int, stop: int, edges: Ints, weights: Floats,
    above: Floats, below: Floats,
) -> None:  # fmt: skip
    """Rows k and k + 1 of middle values at the image's columns, in cells `start` to `stop`."""
    left = edges[start]
    for x in range(start, stop):
        a, b, c, d = values[k, x], values[k, x + 1], values[k + 1, x], values[k + 1, x + 1]
        for i in range(edges[x], edges[x + 1]):
            share = weights[i]
            rest = np.float32(1) - share
            above[i - left] = rest * a + share * b
            below[i - left] = rest * c + share * d


@compiled
def _evaluate(
    above: Floats, below: Floats, y0: int, y1: int, weights: Floats, x0: int, x1: int,
    cuts: Floats, sums: Counts, counts: Ints, rows: Bytes, columns: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """Pixel by pixel, between two rows that have the image's columns already.

    A column's three counts share an integer, ten bits each.
    """
    low, middle, high = cuts[0], cuts[1], cuts[2]
    width = x1 - x0
    for i in range(width):
        sums[i] = 0
    for y in range(y0, y1):
        share = weights[y]
        rest = np.float32(1) - share
        for i in range(width):
            value = rest * above[i] + share * below[i]
            sums[i] += (
                np.int32(value > low)
                + (np.int32(value > middle) << np.int32(10))
                + (np.int32(value > high) << np.int32(20))
            )
        if len(pixels) > 0:
            for i in range(width):
                pixels[y, x0 + i] = rest * above[i] + share * below[i] > middle
    above_low, above_middle, above_high = 0, 0, 0
    for i in range(width):
        above_low += sums[i] & 1023
        above_middle += (sums[i] >> 10) & 1023
        above_high += sums[i] >> 20
    counts[0] += above_low
    counts[1] += above_middle
    counts[2] += above_high
    if above_middle > 0:
        first, last = 0, width - 1
        while (sums[first] >> 10) & 1023 == 0:
            first += 1
        while (sums[last] >> 10) & 1023 == 0:
            last -= 1
        columns[x0 + first] = columns[x0 + last] = 1
        first, last = y0, y1 - 1
        while rows[first] == 0 and not _any(above, below, weights[first], width, middle):
            first += 1
        while rows[last] == 0 and not _any(above, below, weights[last], width, middle):
            last -= 1
        rows[first] = rows[last] = 1


@compiled
def _any(above: Floats, below: Floats, share: np.float32, width: int, middle: np.float32) -> bool:
    """Whether a pixel of a row exceeds the cut."""
    rest = np.float32(1) - share
    found = False
    for i in range(width):
        found |= rest * above[i] + share * below[i] > middle
    return found
