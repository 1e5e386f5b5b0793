"""Crops of masks as CLIP takes them, without torch."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maskquery.clip.resizing import Kernel, Taps, planes, resize, taps
from maskquery.clip.settings import Settings, Shape, View
from maskquery.masks.packed import Packed, unpack

Pixels = npt.NDArray[np.uint8]


class Preprocessing(NamedTuple):
    """What a CLIP is shown: how its own transform resizes and normalises an image.

    Attributes:
        mean: of red, green and blue, from 0 to 1; what the model sees as zero.
        std: their standard deviations.
        kernel: of resizing.
        resize: "shortest" brings the shorter side to the model's input and loses the ends of the
            longer one; "squash" brings both there.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    kernel: Kernel = "bicubic"
    resize: Literal["shortest", "squash"] = "shortest"

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """`mean` in grey levels, 0 to 255."""
        red, green, blue = (round(255 * value) for value in self.mean)
        return red, green, blue


# clip.clip._transform
OPENAI = Preprocessing((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
BLACK = (0, 0, 0)

# Standard deviation of the Gaussian blur outside the mask, as a share of the crop's longer side.
# FGVP (Yang et al. 2023, arXiv:2306.04356) uses 100 pixels on images of about 640.
BLUR = 0.15
BLUR_SIZE = 64  # longer side at which the blur is computed, pixels

_EVERYTHING = np.zeros((0, 0), np.uint8)  # for `resize`: the image is shown everywhere


class Window(NamedTuple):
    """A box in whole pixels, half-open; it may reach beyond the image."""

    x0: int
    y0: int
    x1: int
    y1: int


class Cutter:
    """Cuts the crops of one image's masks.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: padding and shape.
        resolution: R, the model's input, pixels.
        preprocessing: the model's own.
    """

    def __init__(
        self,
        image: Pixels,
        settings: Settings,
        resolution: int,
        preprocessing: Preprocessing = OPENAI,
    ) -> None:
        self._preprocessing = preprocessing
        self._image, self._settings, self._resolution = image, settings, resolution
        self._planes = planes(image)

    def __call__(self, box: npt.NDArray[np.int32], mask: Packed, view: View) -> Pixels:
        """One mask's crop, resized as CLIP's own transform does; see `resizing`.

        Args:
            box: (4,) x0, y0, x1, y1 of the mask, half-open, at least one pixel.
            mask: (H, W8) uint8, packed bits.
            view: what the crop shows.

        Returns:
            (R, R, 3) uint8 RGB.
        """
        part, inside, taps_xy = self._frame(box, mask, self._padding(view))
        image, visible, colour = self._planes, _EVERYTHING, self._preprocessing.mean_colour
        if view in ("masked", "black"):
            visible = np.asarray(cv2.transpose(inside.view(np.uint8)), np.uint8)
            colour = BLACK if view == "black" else colour
        elif view == "blurred":
            x0, y0, x1, y1 = part
            image = planes(blur_outside(self._image[y0:y1, x0:x1], inside))
            part = (0, 0, x1 - x0, y1 - y0)
        return resize(image, part, visible, taps_xy[0], taps_xy[1], colour)

    def _padding(self, view: View) -> float:
        return 0.0 if view == "plain" else self._settings.crop_padding

    def _frame(
        self, box: npt.NDArray[np.int32], mask: Packed, padding: float
    ) -> tuple[tuple[int, int, int, int], npt.NDArray[np.bool_], list[Taps]]:
        """The part of the image that a crop shows, the mask in it (h, w), and taps of x and y."""
        shape = self._settings.crop_shape
        window = grow(box, padding, square=shape == "square")
        height, width = self._image.shape[:2]
        x0, y0 = max(window.x0, 0), max(window.y0, 0)
        x1, y1 = min(window.x1, width), min(window.y1, height)
        inside = unpack(mask[y0:y1, x0 // 8 : -(-x1 // 8)], x1 - x0 // 8 * 8)[:, x0 % 8 :]
        size = (x1 - x0, y1 - y0)
        ends = (x0 - window.x0, window.x1 - x0), (y0 - window.y0, window.y1 - y0)
        how = shape, self._preprocessing
        taps_xy = [_taps(*how, size, i, ends[i], self._resolution) for i in (0, 1)]
        return (x0, y0, x1, y1), inside, taps_xy


def cut(
    image: Pixels, box: npt.NDArray[np.int32], mask: Packed, settings: Settings, resolution: int
) -> Pixels:
    """The crops of one mask in V views; a `Cutter` is faster for several masks of an image.

    >>> from maskquery.masks.packed import pack
    >>> image = np.full((60, 80, 3), 255, np.uint8)
    >>> mask = np.zeros((60, 80), bool)
    >>> mask[20:40, 30:50] = True
    >>> settings = Settings(
    ...     tier="exact", views=("plain", "black"), crop_padding=0.5, crop_shape="square",
    ...     mirrored=False, clahe=0)
    >>> crops = cut(image, np.array([30, 20, 50, 40], np.int32), pack(mask), settings, 64)
    >>> crops.shape
    (2, 64, 64, 3)
    >>> crops[:, 0, 0, 0].tolist()  # a corner: outside the mask, and black in the second view
    [255, 0]

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0, y0, x1, y1 of the mask, half-open, at least one pixel.
        mask: (H, W8) uint8, packed bits.
        settings: views, padding and shape.
        resolution: R, the model's input, pixels.

    Returns:
        (V, R, R, 3) uint8 RGB.
    """
    cutter = Cutter(image, settings, resolution)
    return np.stack([cutter(box, mask, view) for view in settings.views])


def grow(box: npt.NDArray[np.int32], padding: float, *, square: bool) -> Window:
    """Grow a box by `padding` times its longer side on each side, then to a square if asked.

    A square has the box's centre, to half a pixel.

    >>> grow(np.array([30, 20, 50, 30], np.int32), 0.1, square=True)
    Window(x0=28, y0=13, x1=52, y1=37)

    Args:
        box: (4,) x0, y0, x1, y1 in pixels, half-open.
        padding: a share, 0 for none.
        square: whether the shorter side grows to the longer.
    """
    x0, y0, x1, y1 = (int(value) for value in box)
    margin = round(padding * max(x1 - x0, y1 - y0))
    x0, y0, x1, y1 = x0 - margin, y0 - margin, x1 + margin, y1 + margin
    if square:
        side = max(x1 - x0, y1 - y0)
        x0, y0 = x0 - (side - (x1 - x0)) // 2, y0 - (side - (y1 - y0)) // 2
        x1, y1 = x0 + side, y0 + side
    return Window(x0, y0, x1, y1)


def _taps(
    shape: Shape,
    preprocessing: Preprocessing,
    size: tuple[int, int],
    axis: int,
    window: tuple[int, int],
    resolution: int,
) -> Taps:
    """The taps from a part of the image to the model's input, along one axis.

    Args:
        shape: how a box becomes a square.
        preprocessing: the model's own.
        size: of the part, x and y.
        axis: 0 for x, 1 for y.
        window: how far the box reaches before and beyond the part's first pixel.
        resolution: the model's input, pixels.
    """
    kernel = preprocessing.kernel
    if shape == "square":
        before, beyond = window
        return taps(before + beyond, resolution, 0, resolution, kernel).shift(before)
    length, longer, shorter = size[axis], max(size), min(size)
    if shape == "pad":
        return taps(longer, resolution, 0, resolution, kernel).shift((longer - length) // 2)
    if shape == "model" and preprocessing.resize == "squash":
        return taps(length, resolution, 0, resolution, kernel)
    # CLIP's own transform, with torchvision's rounding of `Resize` and of `CenterCrop`.
    resized = int(resolution * length / shorter)
    return taps(length, resized, round((resized - resolution) / 2), resolution, kernel)


def blur_outside(pixels: Pixels, inside: npt.NDArray[np.bool_]) -> Pixels:
    """Blur the pixels (h, w, 3) that are not `inside` (h, w)."""
    return np.where(inside[..., None], pixels, blur(pixels))


def blur(pixels: Pixels) -> Pixels:
    """Blur pixels (h, w, 3) uint8 with a Gaussian of `BLUR`.

    It is computed on a reduced image, as it leaves no detail.
    """
    height, width = pixels.shape[:2]
    share = min(1.0, BLUR_SIZE / max(height, width))
    small = (max(1, round(width * share)), max(1, round(height * share)))
    reduced = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    sigma = BLUR * max(height, width) * share
    smooth = cv2.GaussianBlur(reduced, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(smooth, (width, height)), np.uint8)
