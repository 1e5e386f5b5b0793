import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskquery.formats.outlines import Bools, outlines


def filled(mask: Bools) -> Bools:
    """What a program that uses OpenCV makes of the polygons, each by itself."""
    picture = np.zeros(mask.shape, np.uint8)
    for polygon in outlines(mask):
        cv2.fillPoly(picture, [polygon], 1)
    return picture.astype(bool)


@pytest.mark.parametrize("density", [0.1, 0.4, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (60, 80)])
def test_random_pixels_come_back(shape: tuple[int, int], density: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random(shape) < density
        np.testing.assert_array_equal(filled(mask), mask)


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_pixels_come_back(mask: Bools) -> None:
    np.testing.assert_array_equal(filled(mask), mask)


def test_large_shapes_with_holes_in_holes_come_back() -> None:
    rows, columns = np.mgrid[:300, :400]
    radius = np.hypot(rows - 150, columns - 200)
    mask = (radius % 40 < 25) & (np.hypot(rows - 90, columns - 180) > 12)
    mask[:, 0] = True
    np.testing.assert_array_equal(filled(mask), mask)


def test_a_part_is_one_polygon_and_only_corners_are_points() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:12, 3:25] = True
    mask[5:8, 6:9] = False
    mask[15, 15] = True
    ring, dot = sorted(outlines(mask), key=len, reverse=True)
    # 4 corners outside, 8 around the hole (a diagonal at each of its corners), 2 bridge ends.
    assert len(ring) <= 4 + 8 + 3
    assert dot.tolist() == [[15, 15]]


def test_no_pixel_no_polygon() -> None:
    assert outlines(np.zeros((5, 5), bool)) == []
