"""Draw predictions on images: one panel of an image, its ground truth, its prediction and both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from maskquery.evaluation import lettering
from maskquery.evaluation.counts import agreement, iou
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.masks.packed import Packed, unpack

Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# Okabe and Ito's, told apart with every common colour blindness: https://jfly.uni-koeln.de/color/
TRUE_POSITIVE: Colour = (0, 158, 115)
FALSE_NEGATIVE: Colour = (0, 114, 178)
FALSE_POSITIVE: Colour = (213, 94, 0)
VOID: Colour = (240, 228, 66)

OPACITY = 0.6
QUALITY = 88
"""Of panels as JPEG files."""
CELL = 400
"""Pixels: no picture of a panel is wider or higher."""

_HATCH, _STRIPE = 8, 3  # pixels, from stripe to stripe, and of a stripe
_TITLE = 24  # pixels, the height of a line of text
_GAP = 8
_PAPER, _INK, _FRAME = (255, 255, 255), (40, 40, 40), (170, 170, 170)


@dataclass(frozen=True)
class Layer:
    """Pixels to colour, and what the legend calls them. mask: (H, W) bool."""

    name: str
    mask: Mask
    colour: Colour


def panel_of(
    image: Picture, predicted: Packed, truth: TruePlanes | None, name: str, title: str
) -> Image.Image:
    """The panel of one image and one class.

    Args:
        image: (H, W, 3) uint8.
        predicted: (H, W8) packed bits.
        truth: of this class alone; None if there is none.
        name: of the class.
        title: over the image itself.
    """
    # Everything is drawn at the panel's scale: a camera's 12 megapixels would take seconds.
    width, picture = image.shape[1], shrink(image)
    shown_mask = shrink_mask(unpack(predicted, width))
    over, pictures = "overlay", [(title, picture)]
    if truth is None:
        painted = layers(shown_mask, None)
    else:
        true, void = shrink_mask(unpack(truth.classes[0], width)), None
        if truth.void is not None:
            void = shrink_mask(unpack(truth.void, width))
        painted = layers(shown_mask, true, void)
        counts = agreement(truth.without_void(predicted[None]), truth.classes, truth.pixels(width))
        over = f"overlay: IoU {iou(counts)[0]:.2f}"
        shown = black_and_white(true)
        if void is not None:
            shown[hatch(void)] = VOID
        pictures.append((f"ground truth: {name}", shown))
    pictures.append((f"prediction: {name}", black_and_white(shown_mask)))
    pictures.append((over, paint(picture, painted)))
    return panel(pictures, painted)


def shrink(image: Picture) -> Picture:
    """The (H, W, 3) uint8 image with its longer side brought to `CELL` pixels."""
    scaled = Image.fromarray(image).resize(_size_of_panel(image.shape), Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def shrink_mask(mask: Mask) -> Mask:
    """The (H, W) bool mask with its longer side brought to `CELL` pixels, by majority."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize(_size_of_panel(mask.shape), Image.Resampling.BOX)) > 127


def _size_of_panel(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height for Pillow."""
    scale = CELL / max(shape[:2])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def layers(predicted: Mask, true: Mask | None, void: Mask | None = None) -> list[Layer]:
    """What to colour, given the prediction and, if known, the ground truth, all (H, W) bool."""
    if true is None:
        return [Layer("predicted", predicted, TRUE_POSITIVE)]
    known = np.ones_like(true) if void is None else ~void
    coloured = [
        Layer("true positive", predicted & true & known, TRUE_POSITIVE),
        Layer("false negative", true & ~predicted & known, FALSE_NEGATIVE),
        Layer("false positive", predicted & ~true & known, FALSE_POSITIVE),
    ]
    return coloured if void is None else [*coloured, Layer("void", hatch(void), VOID)]


def hatch(mask: Mask) -> Mask:
    """Diagonal stripes of the (H, W) bool mask."""
    height, width = mask.shape
    striped: Mask = np.add.outer(np.arange(height), np.arange(width)) % _HATCH < _STRIPE
    return mask & striped


def paint(image: Picture, painted: Sequence[Layer]) -> Picture:
    """The (H, W, 3) uint8 image in grey, with each layer's colour laid over its pixels.

    Grey, as colours of the image would mix with those of the layers and be taken for them.
    """
    grey = np.asarray(Image.fromarray(image).convert("L").convert("RGB"))
    result = grey.copy()
    for layer in painted:
        pixels = grey[layer.mask] * (1 - OPACITY) + np.array(layer.colour) * OPACITY
        result[layer.mask] = np.rint(pixels).astype(np.uint8)
    return result


def black_and_white(mask: Mask) -> Picture:
    """(H, W) bool to (H, W, 3) uint8: white where set."""
    return np.repeat(np.where(mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=-1)


def panel(pictures: Sequence[tuple[str, Picture]], legend: Sequence[Layer]) -> Image.Image:
    """Pictures, each under its title, and the legend below: four as two rows, else one row.

    Args:
        pictures: titles and (H, W, 3) uint8 pictures of one size, at most `CELL` pixels wide.
        legend: names and colours.
    """
    height, width = pictures[0][1].shape[:2]
    row_height = _TITLE + height + _GAP
    columns = 2 if len(pictures) == 4 else len(pictures)
    rows = -(-len(pictures) // columns)
    size = (columns * (CELL + _GAP) + _GAP, rows * row_height + _TITLE + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(pictures):
        x = _GAP + (number % columns) * (CELL + _GAP)
        y = (number // columns) * row_height
        _write(draw, x, y, _fitting(title))
        draw.rectangle((x - 1, y + _TITLE - 1, x + width, y + _TITLE + height), outline=_FRAME)
        sheet.paste(Image.fromarray(picture), (x, y + _TITLE))
    x = _GAP
    for layer in legend:
        draw.rectangle((x, rows * row_height + 6, x + 12, rows * row_height + 18), layer.colour)
        x += 18 + _write(draw, x + 18, rows * row_height, layer.name) + 2 * _GAP
    return sheet


def _fitting(title: str) -> str:
    """The title, without its beginning if it is wider than a picture."""
    title, font = lettering.drawable(title), lettering.font()
    if font.getlength(title) <= CELL:
        return title
    while font.getlength(f"…{title}") > CELL:
        title = title[1:]
    return f"…{title}"


def _write(draw: ImageDraw.ImageDraw, x: int, y: int, text: str) -> int:
    """Write a line at the top left corner x, y; its width in pixels."""
    text = lettering.drawable(text)
    draw.text((x, y + 3), text, _INK, lettering.font())
    return round(draw.textlength(text, lettering.font()))


def file_name(image: str) -> str:
    """The panel's file name: nothing in it that a URL or a file system would not take as it is."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", image)[:100]
    return (
        f"{plain}.jpg"
        if plain == image
        else f"{plain}-{sha256(image.encode()).hexdigest()[:8]}.jpg"
    )
