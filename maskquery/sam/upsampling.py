"""From low-resolution logits to stability score, box, area and pixels, without the images between.

Upstream interpolates every mask twice (low resolution -> model input -> image), then takes four
passes over all pixels. Here each mask takes one pass, over its edges only (`kernels`).

Letters: M masks, L side of the low-resolution logits, (h, w) the image inside the model's input
before padding, (H, W) the image itself, W8 = ceil(W / 8).
"""

from dataclasses import dataclass

import numpy as np

from maskquery.masks.packed import Packed
from maskquery.sam.kernels import Bytes, Floats, Ints, scan_all


@dataclass(frozen=True)
class Axis:
    """Bilinear interpolation along one axis as PyTorch does it (align_corners=False)."""

    starts: Ints  # (sources + 1,) outputs starts[i]:starts[i + 1] lie between sources i and i + 1
    weights: Floats  # (outputs,) of the second of the two


def axis(sources: int, outputs: int) -> Axis:
    """`outputs` values over `sources`, with PyTorch's rounding: once, by a fused multiply-add."""
    ratio = np.float64(np.float32(sources / outputs))
    position = np.maximum(ratio * (np.arange(outputs) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), sources - 1)
    weights = np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)
    return Axis(np.searchsorted(first, np.arange(sources + 1)).astype(np.int64), weights)


@dataclass(frozen=True)
class Geometry:
    """How a low-resolution mask becomes an image."""

    rows_in: Axis  # low resolution -> the image's part of the model's input
    columns_in: Axis
    rows_out: Axis  # the image's part of the model's input -> image
    columns_out: Axis

    @classmethod
    def between(
        cls, low: int, model: int, inside: tuple[int, int], image: tuple[int, int]
    ) -> "Geometry":
        """From `low` to `model` pixels a side, `inside` (h, w) of which are the image's (H, W).

        Raises:
            ValueError: the model's input is smaller than the logits.
        """
        if low > model:
            raise ValueError(f"logits of {low} pixels a side for an input of {model}")
        full, (h, w) = axis(low, model), inside
        rows, columns = (
            Axis(np.minimum(full.starts, size), full.weights[:size]) for size in (h, w)
        )
        return cls(rows, columns, axis(h, image[0]), axis(w, image[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.rows_out.weights), len(self.columns_out.weights)


def measure(lows: Floats, geometry: Geometry, threshold: float, offset: float) -> tuple[Ints, Ints]:
    """Counts and boxes of masks at the image's size.

    Args:
        lows: (M, L, L) float32 logits.
        geometry: of the image.
        threshold: a pixel above it belongs to the mask.
        offset: of the two further cuts that the stability score compares.

    Returns:
        counts (M, 3) int64: pixels above threshold - offset, threshold, threshold + offset.
        boxes (M, 4) int64: x0, y0, x1, y1 of the outermost pixels, inclusive as upstream's;
        zeros for an empty mask.
    """
    nothing = np.zeros((len(lows), 0, 0), np.uint8)
    return _scan(lows, geometry, threshold, offset, nothing)


def draw(low: Floats, geometry: Geometry, threshold: float) -> Packed:
    """One mask (L, L) at the image's size, packed along the width: (H, W8) uint8."""
    pixels = np.zeros((1, *geometry.shape), np.uint8)
    _scan(low[None], geometry, threshold, 0.0, pixels)
    return np.packbits(pixels[0], axis=-1)


def _scan(
    lows: Floats, geometry: Geometry, threshold: float, offset: float, pixels: Bytes
) -> tuple[Ints, Ints]:
    rows_in, columns_in = geometry.rows_in, geometry.columns_in
    rows_out, columns_out = geometry.rows_out, geometry.columns_out
    cuts = np.array([threshold - offset, threshold, threshold + offset], np.float32)
    counts, boxes = np.zeros((len(lows), 3), np.int64), np.zeros((len(lows), 4), np.int64)
    scan_all(
        np.ascontiguousarray(lows),
        *(rows_in.starts, rows_in.weights, columns_in.starts, columns_in.weights),
        *(rows_out.starts, rows_out.weights, columns_out.starts, columns_out.weights),
        *(cuts, counts, boxes, pixels),
    )
    return counts, boxes
