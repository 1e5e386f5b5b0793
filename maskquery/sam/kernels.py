"""Compiled loops of `upsampling`: masks at the image's size, evaluated only at their edges.

Interpolation has two steps, as upstream's `Sam.postprocess_masks`: from logits to *middle values*
(those of the model's input), and from these to the image's pixels. A pixel is interpolated from
four middle values, each of these from four logits, in PyTorch's order of operations.

Three cuts (thresholds) divide values into four *bands*: a value's band is the number of cuts below
it. Bilinear interpolation is a convex combination, so where all logits that take part are of one
band, so are all pixels: a rectangle is filled, and no pixel evaluated. What remains is the edges of
masks. A *strip* is what lies between two rows of logits.

Interpolation along an axis is given as in `upsampling.Axis`, by two arrays. `rows_in` are the
starts, and `rows_in_weights` the weights, for rows from logits to middle values; `columns_in` are
those for columns; `rows_out` and `columns_out` those from middle values to pixels.

Arguments are plain arrays, and slices few: named tuples of arrays take seconds to compile, and a
call with them takes as long as a short row to evaluate.

Letters: M masks, L x L logits, h x w middle values, H x W pixels.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Counts = NDArray[np.int32]

compiled = numba.njit(nogil=True, cache=True)


@compiled
def scan_masks(
    lows: Floats, rows_in: Ints, rows_in_weights: Floats, columns_in: Ints,
    columns_in_weights: Floats, rows_out: Ints, rows_out_weights: Floats, columns_out: Ints,
    columns_out_weights: Floats, cuts: Floats, counts: Ints, boxes: Ints, pixels: Bytes,
) -> None:  # fmt: skip
    """Count the pixels of masks above three cuts, take their boxes, and draw them if asked.

    The plain version, which evaluates every pixel:

    >>> def stretch(values, axis):  # along the last axis, from (..., S) to (..., R)
    ...     first = np.repeat(np.arange(len(axis.starts) - 1), np.diff(axis.starts))
    ...     second = np.minimum(first + 1, len(axis.starts) - 2)
    ...     return (1 - axis.weights) * values[..., first] + axis.weights * values[..., second]
    >>> def upscale(low, g):  # logits (L, L) to the values of pixels (H, W)
    ...     middles = stretch(stretch(low, g.columns_in).T, g.rows_in).T
    ...     return stretch(stretch(middles, g.columns_out).T, g.rows_out).T

    >>> from maskquery.sam.upsampling import Geometry
    >>> g = Geometry.between(low=8, model=32, inside=(24, 32), image=(45, 60))
    >>> low = np.random.default_rng(0).normal(0, 4, (8, 8)).astype(np.float32)
    >>> cuts = np.array([-1, 0, 1], np.float32)
    >>> counts, boxes = np.zeros((1, 3), np.int64), np.zeros((1, 4), np.int64)
    >>> pixels = np.zeros((1, 45, 60), np.uint8)
    >>> axes = g.rows_in, g.columns_in, g.rows_out, g.columns_out
    >>> arrays = [array for axis in axes for array in (axis.starts, axis.weights)]
    >>> scan_masks(low[None], *arrays, cuts, counts, boxes, pixels)

    >>> values = upscale(low, g)
    >>> assert (counts[0] == [(values > cut).sum() for cut in cuts]).all()
    >>> assert (pixels[0] == (values > cuts[1])).all()
    >>> y, x = np.nonzero(values > cuts[1])
    >>> assert boxes[0].tolist() == [x.min(), y.min(), x.max(), y.max()]

    Args:
        lows: (M, L, L), logits.
        rows_in: (L + 1,).
        rows_in_weights: (h,).
        columns_in: (L + 1,).
        columns_in_weights: (w,).
        rows_out: (h + 1,).
        rows_out_weights: (H,).
        columns_out: (w + 1,).
        columns_out_weights: (W,).
        cuts: (3,), ascending; the second is the mask's threshold.
        counts: (M, 3), all 0; becomes the number of pixels above each cut.
        boxes: (M, 4), all 0; becomes x0, y0, x1, y1, inclusive, of the pixels above the threshold.
        pixels: (M, H, W), all 0; becomes 1 above the threshold. If (M, 0, 0), nothing is drawn.
    """
    side = lows.shape[1]
    row_marks = np.empty(len(rows_out_weights), np.uint8)
    column_marks = np.empty(len(columns_out_weights), np.uint8)
    bands = np.empty((side, side), np.uint8)
    wide = np.empty((side, len(columns_in_weights) + 1), np.float32)
    for m in range(len(lows)):
        row_marks[:] = 0
        column_marks[:] = 0
        for y in range(side):
            _classify(lows[m, y], cuts, bands[y])
        _scan_mask(
            lows[m], bands, rows_in, rows_in_weights, columns_in, columns_in_weights,
            rows_out, rows_out_weights, columns_out, columns_out_weights, cuts, wide,
            counts[m], row_marks, column_marks, pixels[m],
        )  # fmt: skip
        if counts[m, 1] > 0:
            boxes[m, 0], boxes[m, 2] = _ends(column_marks)
            boxes[m, 1], boxes[m, 3] = _ends(row_marks)


@compiled
def _ends(marks: Bytes) -> tuple[int, int]:
    """The first and the last index that is not 0; there is one."""
    first, last = 0, len(marks) - 1
    while marks[first] == 0:
        first += 1
    while marks[last] == 0:
        last -= 1
    return first, last


@compiled
def _classify(values: Floats, cuts: Floats, bands: Bytes) -> None:
    """The band of each value (K,): how many of the three cuts it exceeds."""
    low, middle, high = cuts[0], cuts[1], cuts[2]
    for x in range(len(values)):
        v = values[x]
        bands[x] = np.uint8(v > low) + np.uint8(v > middle) + np.uint8(v > high)


@compiled
def _blend(first: Floats, second: Floats, weight: float, out: Floats) -> None:
    """Interpolate between two rows (K,); `weight` is the second's."""
    rest = np.float32(1) - weight
    for x in range(len(out)):
        out[x] = rest * first[x] + weight * second[x]


@compiled
def _scan_mask(
    low: Floats, bands: Bytes, rows_in: Ints, rows_in_weights: Floats, columns_in: Ints,
    columns_in_weights: Floats, rows_out: Ints, rows_out_weights: Floats, columns_out: Ints,
    columns_out_weights: Floats, cuts: Floats, wide: Floats, counts: Ints,
    row_marks: Bytes, column_marks: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """One mask, strip by strip.

    Shapes:
        low: (L, L), logits; the following as in `scan_masks`.
        bands: (L, L), of the logits.
        wide: (L, w + 1), filled here: logits interpolated along columns. The last is there twice.
        counts: (3,).
        row_marks: (H,), becomes 1 at least in the first and the last row of the mask's pixels.
        column_marks: (W,), likewise.
        pixels: (H, W), or (0, 0).
    """
    side, height = len(low), len(rows_in_weights)
    tallest = 0
    for i in range(side):
        tallest = max(tallest, rows_in[i + 1] - rows_in[i])
    middles = np.empty((tallest + 1, wide.shape[1]), np.float32)  # of one strip
    middle_bands = np.empty(middles.shape, np.uint8)
    wide_middles = np.empty((2, len(column_marks)), np.float32)
    column_counts = np.empty(len(column_marks), np.int32)
    wide_rows = 0  # rows of `wide` that are filled
    for i in range(side):
        start, stop = rows_in[i], rows_in[i + 1]
        if start == stop:
            continue
        left, right = _find_mixed_part(bands, i)
        x0, x1 = columns_in[left], columns_in[right]
        y0, y1 = rows_out[start], rows_out[stop]
        _fill(bands[i, 0], y0, y1, 0, columns_out[x0], counts, row_marks, column_marks, pixels)
        _fill(
            bands[i, -1], y0, y1, columns_out[x1], columns_out[-1],
            counts, row_marks, column_marks, pixels,
        )  # fmt: skip
        if x0 == x1:
            continue
        for r in range(max(wide_rows, i), min(i + 3, side)):
            _blend_along(low[r], columns_in, columns_in_weights, wide[r])
            wide_rows = r + 1
        for y in range(start, stop + 1):
            source = i if y < stop or stop == height else i + 1
            upper, lower = wide[source], wide[min(source + 1, side - 1)]
            middle, weight = middles[y - start], rows_in_weights[min(y, height - 1)]
            _blend(upper[x0 : x1 + 1], lower[x0 : x1 + 1], weight, middle[x0 : x1 + 1])
            _classify(middle[x0 : x1 + 1], cuts, middle_bands[y - start, x0 : x1 + 1])
        _scan_strip(
            middles, middle_bands, x0, x1, rows_out[start : stop + 1], rows_out_weights,
            columns_out, columns_out_weights, cuts, wide_middles, column_counts,
            counts, row_marks, column_marks, pixels,
        )  # fmt: skip


@compiled
def _blend_along(source: Floats, starts: Ints, weights: Floats, out: Floats) -> None:
    """Interpolate a row of logits (L,) to w columns of middle values, the last of them twice."""
    last = len(source) - 1
    for j in range(last + 1):
        a, b = source[j], source[min(j + 1, last)]
        for x in range(starts[j], starts[j + 1]):
            weight = weights[x]
            out[x] = (np.float32(1) - weight) * a + weight * b
    out[-1] = out[-2]


@compiled
def _find_mixed_part(bands: Bytes, i: int) -> tuple[int, int]:
    """The columns of logits between which strip i is neither its first nor its last band alone."""
    last = len(bands) - 1
    first, second, third = bands[i], bands[min(i + 1, last)], bands[min(i + 2, last)]
    left, right = 0, len(bands)
    while left < right and first[left] == second[left] == third[left] == first[0]:
        left += 1
    if left == right:
        return 0, 0
    while first[right - 1] == second[right - 1] == third[right - 1] == first[last]:
        right -= 1
    # A pixel depends on logits up to two columns to its right.
    return max(left - 2, 0), right


@compiled
def _fill(
    band: int, y0: int, y1: int, x0: int, x1: int,
    counts: Ints, row_marks: Bytes, column_marks: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """Count and draw a rectangle of pixels of one band; it may be empty."""
    if band == 0 or y0 >= y1 or x0 >= x1:
        return
    for k in range(band):
        counts[k] += (y1 - y0) * (x1 - x0)
    if band > 1:
        row_marks[y0] = row_marks[y1 - 1] = 1
        column_marks[x0] = column_marks[x1 - 1] = 1
        if len(pixels) > 0:
            pixels[y0:y1, x0:x1] = 1


@compiled
def _scan_strip(
    middles: Floats, bands: Bytes, x0: int, x1: int, rows_out: Ints, rows_out_weights: Floats,
    columns_out: Ints, columns_out_weights: Floats, cuts: Floats, wide_middles: Floats,
    column_counts: Counts, counts: Ints, row_marks: Bytes, column_marks: Bytes, pixels: Bytes,
) -> None:  # fmt: skip
    """The pixels of one strip. A cell is what lies between four middle values.

    Neighbouring cells whose corners are all of one band are filled; the others are evaluated.

    Shapes:
        middles: (K + 1, w + 1), the strip's rows of middle values, given in columns x0 to x1.
        bands: (K + 1, w + 1), of these.
        x0, x1: the columns to scan, half-open.
        rows_out: (K + 1,), the first rows of pixels.
        wide_middles: (2, W), working memory of `_evaluate`.
        column_counts: (W,), working memory of `_evaluate`.
    """
    above, below = wide_middles[0], wide_middles[1]
    for k in range(len(rows_out) - 1):
        y0, y1 = rows_out[k], rows_out[k + 1]
        upper, lower = bands[k], bands[k + 1]
        x = x0
        while x < x1 and y0 < y1:
            start, band = x, upper[x]
            if lower[x] == band:
                while x < x1 and upper[x + 1] == band and lower[x + 1] == band:
                    x += 1
            if x > start:
                _fill(
                    band, y0, y1, columns_out[start], columns_out[x],
                    counts, row_marks, column_marks, pixels,
                )  # fmt: skip
                continue
            x += 1
            while x < x1 and not upper[x] == lower[x] == upper[x + 1] == lower[x + 1]:
                x += 1
            _blend_cells(middles, k, start, x, columns_out, columns_out_weights, above, below)
            _evaluate(
                above, below, y0, y1, rows_out_weights, columns_out[start], columns_out[x],
                cuts, column_counts, counts, row_marks, column_marks, pixels,
            )  # fmt: skip


@compiled
def _blend_cells(
    middles: Floats, k: int, start: int, stop: int, columns_out: Ints, weights: Floats,
    above: Floats, below: Floats,
) -> None:  # fmt: skip
    """Interpolate rows k and k + 1 of middle values to the pixels' columns, for some cells.

    `above` and `below` (W,) begin with the first column of cell `start`.
    """
    left = columns_out[start]
    for x in range(start, stop):
        a, b, c, d = middles[k, x], middles[k, x + 1], middles[k + 1, x], middles[k + 1, x + 1]
        for i in range(columns_out[x], columns_out[x + 1]):
            weight = weights[i]
            rest = np.float32(1) - weight
            above[i - left] = rest * a + weight * b
            below[i - left] = rest * c + weight * d


@compiled
def _evaluate(
    above: Floats, below: Floats, y0: int, y1: int, weights: Floats, x0: int, x1: int,
    cuts: Floats, column_counts: Counts, counts: Ints, row_marks: Bytes, column_marks: Bytes,
    pixels: Bytes,
) -> None:  # fmt: skip
    """Count and draw pixels y0 to y1, x0 to x1, one by one.

    Shapes:
        above: (W,), the middle values over the pixels, at their columns; see `_blend_cells`.
        below: (W,), those under them.
        weights: (H,), of `below`.
        column_counts: (W,), working memory: pixels of each column above the second cut.
    """
    low, middle, high = cuts[0], cuts[1], cuts[2]
    width = x1 - x0
    for i in range(width):
        column_counts[i] = 0
    for y in range(y0, y1):
        weight = weights[y]
        rest = np.float32(1) - weight
        above_low, above_middle, above_high = np.int32(0), np.int32(0), np.int32(0)
        for i in range(width):
            value = rest * above[i] + weight * below[i]
            is_inside = np.int32(value > middle)
            above_low += np.int32(value > low)
            above_middle += is_inside
            above_high += np.int32(value > high)
            column_counts[i] += is_inside
        counts[0] += above_low
        counts[1] += above_middle
        counts[2] += above_high
        if above_middle > 0:
            row_marks[y] = 1
        if len(pixels) > 0:
            for i in range(width):
                pixels[y, x0 + i] = rest * above[i] + weight * below[i] > middle
    for i in range(width):
        if column_counts[i] > 0:
            column_marks[x0 + i] = 1
