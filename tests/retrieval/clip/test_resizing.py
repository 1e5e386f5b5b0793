"""Resizing against Pillow, on pictures made to be difficult."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retrieval.clip.resizing import planes, resize, taps

Pixels = npt.NDArray[np.uint8]
Part = tuple[int, int, int, int]

COLOUR = (123, 117, 104)
EVERYTHING = np.zeros((0, 0), np.uint8)


def picture(kind: str, height: int, width: int, seed: int = 0) -> Pixels:
    """(H, W, 3) whose overshoots, whose noise or whose edges would tell another filter."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "blocks":
        blocks = rng.integers(0, 2, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8) * 255
        return np.asarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width], np.uint8)
    if kind == "stripes":
        return np.repeat(((y + x // 3) % 7 < 3)[..., None], 3, 2).astype(np.uint8) * 255
    return np.stack([y % 256, x % 256, (x + y) % 256], axis=2).astype(np.uint8)


KINDS = ("noise", "blocks", "stripes", "ramps")


def check(ours: Pixels, theirs: Pixels) -> None:
    """Two grey levels apart at most, and seldom one."""
    distance = np.abs(ours.astype(int) - theirs.astype(int))
    assert distance.max() <= 2
    assert distance.mean() < 0.01 + 3 / distance.size


def pillow(pixels: Pixels, resolution: int, box: Any) -> Pixels:
    """Along the rows first, as Pillow always does where both scales are alike."""
    height = len(pixels)
    image = Image.fromarray(pixels)
    for size, part in (
        ((resolution, height), (box[0], 0, box[2], height)),
        ((resolution, resolution), (0, box[1], resolution, box[3])),
    ):
        image = image.resize(size, Image.Resampling.BICUBIC, box=part)
    return np.asarray(image)


@settings(max_examples=100)
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.sampled_from([1, 8, 64]),
    st.tuples(*[st.floats(0, 0.45)] * 4),
)
def test_any_box(kind: str, size: tuple[int, int], resolution: int, margins: Any) -> None:
    height, width = size
    pixels = picture(kind, height, width)
    left, right = margins[0] * width, width * (1 - margins[1])
    upper, lower = margins[2] * height, height * (1 - margins[3])
    x, y = taps(width, left, right, resolution), taps(height, upper, lower, resolution)
    ours = resize(planes(pixels), (0, 0, width, height), EVERYTHING, x, y, COLOUR)
    check(ours, pillow(pixels, resolution, (left, upper, right, lower)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resolution", [64, 224])
@pytest.mark.parametrize("part", [(900, 0, 2000, 1500), (0, 700, 2000, 760), (5, 5, 100, 150)])
@pytest.mark.parametrize("masked", [False, True])
def test_part_of_a_large_image_on_a_square(
    kind: str, resolution: int, part: Part, masked: bool
) -> None:
    """As if the part stood in the middle of a square of one colour, which nobody makes."""
    image = picture(kind, 1500, 2000)
    x0, y0, x1, y1 = part
    width, height = x1 - x0, y1 - y0
    inside = np.ones((height, width), np.uint8)
    if masked:
        y, x = np.mgrid[:height, :width]
        inside = (np.hypot(y - height / 2, x - width / 2) < 0.4 * max(part)).astype(np.uint8)
        inside[::9] = 0
    side = max(width, height)
    left, upper = (side - width) // 2, (side - height) // 2
    square = np.full((side, side, 3), COLOUR, np.uint8)
    square[upper : upper + height, left : left + width][inside > 0] = image[y0:y1, x0:x1][
        inside > 0
    ]
    along = taps(side, 0, side, resolution)
    transposed = np.ascontiguousarray(inside.T) if masked else EVERYTHING
    ours = resize(planes(image), part, transposed, along.moved(left), along.moved(upper), COLOUR)
    size = (resolution, resolution)
    check(ours, np.asarray(Image.fromarray(square).resize(size, Image.Resampling.BICUBIC)))


def test_same_size_is_the_same() -> None:
    pixels = picture("noise", 32, 32)
    along = taps(32, 0, 32, 32)
    np.testing.assert_array_equal(
        resize(planes(pixels), (0, 0, 32, 32), EVERYTHING, along, along, COLOUR), pixels
    )
