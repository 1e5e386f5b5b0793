"""Upscale low-resolution logits to the image, and count, box and draw the pixels of masks.

Upstream interpolates every mask twice (low resolution -> model input -> image), then reads all
pixels four times: for the mask, its box, and the two areas of the stability score. Here `kernels`
evaluates each mask once, and only at its edges.

Letters: M masks, L side of the low-resolution logits, (h, w) the image inside the model's input
before padding, (H, W) the image itself, W8 = ceil(W / 8).
"""

from dataclasses import dataclass

import numpy as np

from maskquery.masks.packed import Packed
from maskquery.sam.kernels import Bytes, Floats, Ints, scan_masks


@dataclass(frozen=True)
class Axis:
    """Bilinear interpolation of S sources to R outputs along one axis, with PyTorch's rounding.

    Attributes:
        starts: (S + 1,) int64; outputs starts[i] to starts[i + 1] lie between sources i and i + 1.
        weights: (R,) float32, of source i + 1; that of source i is the rest to 1.
    """

    starts: Ints
    weights: Floats


def axis(sources: int, outputs: int) -> Axis:
    """Interpolation of `sources` values to `outputs` values, as with `align_corners=False`.

    >>> half = axis(2, 4)  # positions -0.25, 0.25, 0.75 and 1.25, the first moved to 0
    >>> half.starts, half.weights
    (array([0, 3, 4]), array([0.  , 0.25, 0.75, 0.25], dtype=float32))

    PyTorch computes a position with one rounding, by a fused multiply-add; here it is computed in
    float64 and then rounded.
    """
    ratio = np.float64(np.float32(sources / outputs))
    position = np.maximum(ratio * (np.arange(outputs) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), sources - 1)
    weights = np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)
    return Axis(np.searchsorted(first, np.arange(sources + 1)).astype(np.int64), weights)


@dataclass(frozen=True)
class Geometry:
    """How the logits of a mask are interpolated to the pixels of the image.

    Attributes:
        rows_in, columns_in: from L to h and from L to w, the image's part of the model's input.
        rows_out, columns_out: from h to H and from w to W.
    """

    rows_in: Axis
    columns_in: Axis
    rows_out: Axis
    columns_out: Axis

    @classmethod
    def between(
        cls, low: int, model: int, inside: tuple[int, int], image: tuple[int, int]
    ) -> "Geometry":
        """The geometry of an image.

        Args:
            low: L.
            model: side of the model's input, pixels.
            inside: (h, w), the part of the model's input that the image covers.
            image: (H, W).

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
    """Count the pixels of masks at the image's size, and take their boxes.

    The plain version, `upscale` being upstream's `Sam.postprocess_masks`:

    >>> import torch
    >>> from torch.nn.functional import interpolate
    >>> from segment_anything.utils.amg import batched_mask_to_box
    >>> def upscale(lows, model, inside, image):
    ...     values = interpolate(torch.tensor(lows)[:, None], (model, model), mode="bilinear")
    ...     values = values[..., : inside[0], : inside[1]]
    ...     return interpolate(values, image, mode="bilinear")[:, 0]  # (M, H, W)
    >>> sizes = 32, (24, 32), (48, 64)  # of the model's input, of the image in it, of the image
    >>> lows = np.random.default_rng(0).normal(0, 4, (5, 8, 8)).astype(np.float32)
    >>> values = upscale(lows, *sizes)
    >>> counts, boxes = measure(lows, Geometry.between(8, *sizes), threshold=0.0, offset=1.0)
    >>> for column, cut in enumerate((-1.0, 0.0, 1.0)):
    ...     assert (counts[:, column] == (values > cut).sum((1, 2)).numpy()).all()
    >>> assert (boxes == batched_mask_to_box(values > 0).numpy()).all()

    Args:
        lows: (M, L, L) float32 logits.
        geometry: of the image.
        threshold: a pixel above it belongs to the mask.
        offset: the stability score compares the areas above threshold + offset and - offset.

    Returns:
        counts (M, 3) int64: pixels above threshold - offset, threshold, threshold + offset.
        boxes (M, 4) int64: x0, y0, x1, y1 of the outermost pixels, inclusive as upstream's;
        zeros for an empty mask.
    """
    no_pixels = np.zeros((len(lows), 0, 0), np.uint8)
    return _scan(lows, geometry, threshold, offset, no_pixels)


def draw(low: Floats, geometry: Geometry, threshold: float) -> Packed:
    """Draw one mask at the image's size.

    The plain version:

    >>> import torch
    >>> from torch.nn.functional import interpolate
    >>> low = np.random.default_rng(0).normal(0, 4, (8, 8)).astype(np.float32)
    >>> values = interpolate(torch.tensor(low)[None, None], (32, 32), mode="bilinear")
    >>> values = interpolate(values[..., :24, :], (48, 64), mode="bilinear")[0, 0]
    >>> packed = draw(low, Geometry.between(8, 32, (24, 32), (48, 64)), threshold=0.0)
    >>> assert (packed == np.packbits(values.numpy() > 0, axis=-1)).all()

    Args:
        low: (L, L) float32 logits.
        geometry: of the image.
        threshold: a pixel above it belongs to the mask.

    Returns:
        (H, W8) uint8, packed bits.
    """
    pixels = np.zeros((1, *geometry.shape), np.uint8)
    _scan(low[None], geometry, threshold, 0.0, pixels)
    return np.packbits(pixels[0], axis=-1)


def _scan(
    lows: Floats, geometry: Geometry, threshold: float, offset: float, pixels: Bytes
) -> tuple[Ints, Ints]:
    """As `measure`; `pixels` (M, H, W), all 0, becomes 1 in the masks, unless it is (M, 0, 0)."""
    rows_in, columns_in = geometry.rows_in, geometry.columns_in
    rows_out, columns_out = geometry.rows_out, geometry.columns_out
    cuts = np.array([threshold - offset, threshold, threshold + offset], np.float32)
    counts, boxes = np.zeros((len(lows), 3), np.int64), np.zeros((len(lows), 4), np.int64)
    scan_masks(
        np.ascontiguousarray(lows),
        *(rows_in.starts, rows_in.weights, columns_in.starts, columns_in.weights),
        *(rows_out.starts, rows_out.weights, columns_out.starts, columns_out.weights),
        *(cuts, counts, boxes, pixels),
    )
    return counts, boxes
