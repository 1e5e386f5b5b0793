"""Resizing against Pillow, on pictures made to be difficult."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskquery.clip.resizing import planes, resize, taps

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


def pillow(pixels: Pixels, height: int, width: int) -> Pixels:
    """Along the rows first. Pillow 12.3 begins with the columns of images 100x as high as wide."""
    image = Image.fromarray(pixels)
    for size in ((width, image.height), (width, height)):
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


@settings(max_examples=200)
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.data(),
)
@example("ramps", (1, 80), (8, 8), None)  # rows of ties, which float32 rounds the other way
def test_any_part_of_any_size(
    kind: str, size: tuple[int, int], resized: tuple[int, int], data: st.DataObject | None
) -> None:
    pixels = picture(kind, *size)
    starts, counts = [0, 0], list(resized)
    if data is not None:
        starts = [data.draw(st.integers(0, length - 1)) for length in resized]
        counts = [
            data.draw(st.integers(1, length - start))
            for length, start in zip(resized, starts, strict=True)
        ]
    y, x = map(taps, size, resized, starts, counts)
    ours = resize(planes(pixels), (0, 0, size[1], size[0]), EVERYTHING, x, y, COLOUR)
    parts = [slice(a, a + n) for a, n in zip(starts, counts, strict=True)]
    np.testing.assert_array_equal(ours, pillow(pixels, *resized)[*parts])


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
    to_square = taps(side, resolution, 0, resolution)
    transposed = np.ascontiguousarray(inside.T) if masked else EVERYTHING
    ours = resize(
        planes(image), part, transposed, to_square.shift(left), to_square.shift(upper), COLOUR
    )
    np.testing.assert_array_equal(ours, pillow(square, resolution, resolution))


def test_same_size_is_the_same() -> None:
    pixels = picture("noise", 32, 32)
    along = taps(32, 32, 0, 32)
    np.testing.assert_array_equal(
        resize(planes(pixels), (0, 0, 32, 32), EVERYTHING, along, along, COLOUR), pixels
    )
