"""Crops against Pillow, torchvision and OpenCV, and literal ones."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from maskquery.clip import crops
from maskquery.clip.crops import OPENAI, Pixels
from maskquery.clip.settings import Settings
from maskquery.masks.packed import pack

R = 32
OFF: dict[str, Any] = {"tier": "exact", "mirrored": False, "clahe": 0}


def settings(**changes: Any) -> Settings:
    values = {"views": ("crop",), "crop_padding": 0.0, "crop_shape": "pad"} | OFF
    return Settings(**(values | changes))


def noise(height: int, width: int) -> Pixels:
    """Random, but with something left when it is made smaller."""
    small = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def cut(
    image: Pixels,
    box: tuple[int, int, int, int],
    mask: npt.NDArray[np.bool_] | None = None,
    resolution: int = R,
    **changes: Any,
) -> Pixels:
    if mask is None:
        mask = np.zeros(image.shape[:2], bool)
    made = settings(**changes)
    return crops.cut(image, np.array(box, np.int32), pack(mask), made, resolution)


def distance(ours: Pixels, theirs: Image.Image) -> int:
    return int(np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max())


def paste(image: Image.Image, side: int, at: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", (side, side), OPENAI.mean_colour)
    canvas.paste(image, at)
    return canvas.resize((R, R), Image.Resampling.BICUBIC)


# Larger, smaller and as large as the model's input, square, lying, standing.
BOXES = [(3, 5, 93, 85), (10, 20, 109, 51), (0, 0, 17, 100), (40, 40, 72, 72), (60, 90, 63, 92)]


@pytest.mark.parametrize("box", BOXES)
def test_pad_is_pillows(box: tuple[int, int, int, int]) -> None:
    image = noise(101, 110)
    piece = Image.fromarray(image).crop(box)
    side = max(piece.size)
    expected = paste(piece, side, ((side - piece.width) // 2, (side - piece.height) // 2))
    assert distance(cut(image, box)[0], expected) <= 1


@pytest.mark.parametrize("box", BOXES)
def test_centre_is_clips_own_transform(box: tuple[int, int, int, int]) -> None:
    image = noise(101, 110)
    transform = Compose([Resize(R, InterpolationMode.BICUBIC), CenterCrop(R)])
    expected = transform(Image.fromarray(image).crop(box))
    assert distance(cut(image, box, crop_shape="centre")[0], expected) <= 1


def test_square_takes_from_the_image() -> None:
    image = noise(100, 100)
    expected = (
        Image.fromarray(image).crop((20, 30, 70, 80)).resize((R, R), Image.Resampling.BICUBIC)
    )
    assert distance(cut(image, (20, 45, 70, 65), crop_shape="square")[0], expected) <= 1


def test_square_beyond_the_image_is_mean_colour() -> None:
    image = noise(40, 100)
    piece = Image.fromarray(image).crop((0, 0, 60, 40))
    assert (
        distance(cut(image, (0, 0, 60, 30), crop_shape="square")[0], paste(piece, 60, (0, 15))) <= 1
    )


@pytest.mark.parametrize(
    ("box", "padding", "square", "window"),
    [
        ((10, 20, 30, 60), 0.1, False, (6, 16, 34, 64)),
        ((10, 20, 30, 60), 0.1, True, (-4, 16, 44, 64)),
        ((5, 5, 6, 6), 0.1, False, (5, 5, 6, 6)),
        ((0, 0, 3, 2), 0.0, True, (0, 0, 3, 3)),
        ((0, 0, 10, 10), 1.0, False, (-10, -10, 20, 20)),
    ],
)
def test_grow(box: Any, padding: float, square: bool, window: tuple[int, ...]) -> None:
    assert crops.grow(np.array(box, np.int32), padding, square=square) == window


def test_padding_ends_at_the_image() -> None:
    image = noise(64, 64)
    np.testing.assert_array_equal(
        cut(image, (0, 0, 40, 40), crop_padding=0.5), cut(image, (0, 0, 60, 60))
    )


@pytest.mark.parametrize("x", range(9))
def test_masked_is_mean_colour_outside(x: int) -> None:
    """At the model's own size nothing is resized, so that every pixel can be told."""
    image = noise(50, 53)
    mask = np.random.default_rng(x).random((50, 53)) > 0.5
    crop = cut(image, (x, 7, x + 12, 19), mask, 12, views=("masked",))[0]
    inside = mask[7:19, x : x + 12]
    np.testing.assert_array_equal(crop[inside], image[7:19, x : x + 12][inside])
    assert np.all(crop[~inside] == OPENAI.mean_colour)


def test_blurred_is_a_gaussian_outside() -> None:
    image = noise(240, 320)
    mask = np.zeros((240, 320), bool)
    mask[100:140, 100:200] = True
    pixels = crops.blur_outside(image, mask)
    np.testing.assert_array_equal(pixels[mask], image[mask])
    expected = cv2.GaussianBlur(
        image, (0, 0), sigmaX=crops.BLUR * 320, borderType=cv2.BORDER_REPLICATE
    )
    assert np.abs(pixels.astype(int) - expected.astype(int))[~mask].max() <= 8
    assert np.abs(image.astype(int) - expected.astype(int))[~mask].max() > 100


def test_views_come_in_their_order() -> None:
    image, mask = noise(64, 64), np.zeros((64, 64), bool)
    mask[10:30, 10:30] = True
    both = cut(image, (10, 10, 40, 40), mask, views=("masked", "blurred", "crop"))
    assert both.shape == (3, R, R, 3)
    for crop, view in zip(both, ("masked", "blurred", "crop"), strict=True):
        np.testing.assert_array_equal(crop, cut(image, (10, 10, 40, 40), mask, views=(view,))[0])


@pytest.mark.parametrize("shape", ["square", "pad", "centre"])
@pytest.mark.parametrize(
    ("size", "box"),
    [((1, 1), (0, 0, 1, 1)), ((1, 3000), (0, 0, 3000, 1)), ((3000, 9), (8, 0, 9, 3000))],
)
def test_extreme_boxes(shape: str, size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    views = ("crop", "masked", "blurred")
    made = cut(image, box, np.ones(size, bool), views=views, crop_shape=shape, crop_padding=0.1)
    assert made.shape == (3, R, R, 3)
    assert np.all(made[:, R // 2, R // 2] >= 100)


def test_image_is_not_changed() -> None:
    image = noise(64, 64)
    image.flags.writeable = False
    cut(image, (10, 10, 40, 40), views=("crop", "masked", "blurred"))


def test_the_plain_view_is_the_box_whatever_the_padding() -> None:
    image, box = noise(80, 90), (20, 30, 70, 60)
    expected = cut(image, box, views=("crop",), crop_padding=0.0)
    found = cut(image, box, views=("crop", "plain"), crop_padding=0.3)
    np.testing.assert_array_equal(found[1], expected[0])
    assert distance(found[0], expected[0]) > 5


def test_the_black_view_is_black_where_the_masked_one_has_the_mean_colour() -> None:
    image, mask = noise(64, 64), np.zeros((64, 64), bool)
    mask[:, :32] = True
    masked, black = cut(image, (0, 0, 64, 64), mask, views=("masked", "black"))
    half = R // 2 - 3  # the resizing looks over the edge
    np.testing.assert_array_equal(masked[:, :half], black[:, :half])
    assert (black[:, -half:] == 0).all()
    assert (masked[:, -half:] == OPENAI.mean_colour).all()
