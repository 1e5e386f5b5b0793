"""Pictures for the page: always decoded and encoded anew, never a file as it lies on the disk."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

THUMBNAIL = 240
"""Pixels of the longer side."""

CROP = 320
"""Pixels of the longer side, at most."""

SHADE = 0.3
"""Of the light of a crop's pixels outside the mask."""

PADDING = 0.15
"""How much of the image is shown around a mask, as a share of its box's longer side."""


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def thumbnail(pixels: Pixels) -> bytes:
    """(H, W, 3) uint8 RGB as a small JPEG file."""
    return jpeg(_shrink(pixels, THUMBNAIL), 80)


def crop(pixels: Pixels, mask: Bools, box: tuple[int, int, int, int]) -> bytes:
    """A mask and what is around it, darkened, as a JPEG file.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        box: x0, y0, x1, y1 of the mask, half-open.
    """
    x0, y0, x1, y1 = box
    margin = max(4, round(PADDING * max(x1 - x0, y1 - y0)))
    x0, y0 = max(0, x0 - margin), max(0, y0 - margin)
    part = (slice(y0, y1 + margin), slice(x0, x1 + margin))
    shaded = np.where(mask[part][..., None], pixels[part], (pixels[part] * SHADE).astype(np.uint8))
    return jpeg(_shrink(shaded, CROP))


def _shrink(pixels: Pixels, side: int) -> Pixels:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)
