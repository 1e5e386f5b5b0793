"""Crops of masks as CLIP takes them: pure functions on arrays, without torch."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval.clip.settings import Settings, View
from retrieval.masks import Packed, unpack

Pixels = npt.NDArray[np.uint8]

# OpenAI's normalisation (clip.clip._transform), of RGB values from 0 to 1.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MEAN_COLOUR = (123, 117, 104)  # 255 * MEAN: what CLIP sees as zero

# Standard deviation of the Gaussian outside the mask, as a share of the crop's longer side. FGVP
# (Yang et al. 2023, arXiv:2306.04356) uses 100 pixels on images of about 640.
BLUR = 0.15
BLUR_SIZE = 64  # pixels of the longer side at which such a blur is computed


class Window(NamedTuple):
    """A box in whole pixels, half-open; it may reach beyond the image."""

    x0: int
    y0: int
    x1: int
    y1: int


def cut(
    image: Pixels, box: npt.NDArray[np.int32], mask: Packed, settings: Settings, resolution: int
) -> Pixels:
    """One mask's crops, one for each view, resized as CLIP resizes (bicubic with antialiasing).

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0, y0, x1, y1 of the mask, half-open, at least one pixel.
        mask: (H, W8) uint8, packed bits.
        settings: views, padding and shape.
        resolution: R, the model's input, pixels.

    Returns:
        (V, R, R, 3) uint8 RGB, in the order of `settings.views`.
    """
    height, width = image.shape[:2]
    window = grow(box, settings.crop_padding, square=settings.crop_shape == "square")
    x0, y0 = max(window.x0, 0), max(window.y0, 0)
    x1, y1 = min(window.x1, width), min(window.y1, height)
    pixels = image[y0:y1, x0:x1]
    inside = unpack(mask[y0:y1, x0 // 8 : -(-x1 // 8)], x1 - x0 // 8 * 8)[:, x0 % 8 :]
    crops = np.empty((len(settings.views), resolution, resolution, 3), np.uint8)
    for crop, view in zip(crops, settings.views, strict=True):
        seen = look(pixels, inside, view)
        if settings.crop_shape == "square":
            seen = _on_mean(seen, window.x1 - window.x0, x0 - window.x0, y0 - window.y0)
        elif settings.crop_shape == "pad":
            seen = _centred_on_mean(seen)
        crop[:] = resize(seen, resolution)
    return crops


def grow(box: npt.NDArray[np.int32], padding: float, *, square: bool) -> Window:
    """The box with `padding` times its longer side added on each side, and made square if asked.

    A square keeps the box's centre, to half a pixel.
    """
    x0, y0, x1, y1 = (int(value) for value in box)
    margin = round(padding * max(x1 - x0, y1 - y0))
    x0, y0, x1, y1 = x0 - margin, y0 - margin, x1 + margin, y1 + margin
    if square:
        side = max(x1 - x0, y1 - y0)
        x0, y0 = x0 - (side - (x1 - x0)) // 2, y0 - (side - (y1 - y0)) // 2
        x1, y1 = x0 + side, y0 + side
    return Window(x0, y0, x1, y1)


def look(pixels: Pixels, inside: npt.NDArray[np.bool_], view: View) -> Pixels:
    """A view of (h, w, 3) `pixels`, of which those `inside` (h, w) belong to the mask."""
    if view == "crop":
        return pixels
    outside = np.array(MEAN_COLOUR, np.uint8) if view == "masked" else blurred(pixels)
    return np.where(inside[..., None], pixels, outside)


def blurred(pixels: Pixels) -> Pixels:
    """(h, w, 3) uint8 under a Gaussian of `BLUR`, computed small: it keeps no detail."""
    height, width = pixels.shape[:2]
    share = min(1.0, BLUR_SIZE / max(height, width))
    small = (max(1, round(width * share)), max(1, round(height * share)))
    reduced = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    sigma = BLUR * max(height, width) * share
    smooth = cv2.GaussianBlur(reduced, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(smooth, (width, height)), np.uint8)


def resize(pixels: Pixels, resolution: int) -> Pixels:
    """(h, w, 3) uint8 to (R, R, 3): the shorter side to R, and the centre of the longer one.

    This is CLIP's own transform, without the enlarged image between its two steps.
    """
    height, width = pixels.shape[:2]
    left, right = _centre(width, min(height, width), resolution)
    upper, lower = _centre(height, min(height, width), resolution)
    size = (resolution, resolution)
    region = (left, upper, right, lower)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=region))


def _centre(length: int, shorter: int, resolution: int) -> tuple[float, float]:
    """The part of a side that stays, with torchvision's rounding of `Resize` and `CenterCrop`."""
    resized = int(resolution * length / shorter)
    start = round((resized - resolution) / 2)
    return start * length / resized, min(length, (start + resolution) * length / resized)


def _centred_on_mean(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    side = max(height, width)
    return _on_mean(pixels, side, (side - width) // 2, (side - height) // 2)


def _on_mean(pixels: Pixels, side: int, x: int, y: int) -> Pixels:
    """A square of the mean colour with `pixels` at x, y."""
    height, width = pixels.shape[:2]
    if (height, width) == (side, side):
        return pixels
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = MEAN_COLOUR
    canvas[y : y + height, x : x + width] = pixels
    return canvas
