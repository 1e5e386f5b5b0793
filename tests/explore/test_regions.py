import numpy as np
import pytest

from maskquery.explore import regions
from maskquery.masks.packed import pack
from tests.support.builders import Bools, random_stack


def planes_of(cut: regions.Regions, count: int, height: int, width: int) -> Bools:
    """The planes again, (P, H, W) bool."""
    member = np.unpackbits(cut.members, axis=1, count=count).astype(bool)
    pixels = np.repeat(cut.runs, cut.lengths)
    return member[pixels].T.reshape(count, height, width)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 70])
def test_the_planes_come_back_whole(count: int) -> None:
    stack = random_stack(np.random.default_rng(count), count, 23, 37)
    cut = regions.cut(pack(stack), 37)
    assert np.array_equal(planes_of(cut, count, 23, 37), stack)


def test_regions_are_the_sets_of_pixels_in_the_same_planes_and_no_smaller() -> None:
    stack = random_stack(np.random.default_rng(3), 11, 31, 40)
    cut = regions.cut(pack(stack), 40)
    wanted, counts = np.unique(stack.reshape(11, -1).T, axis=0, return_counts=True)
    assert len(cut.sizes) == len(wanted)
    assert sorted(cut.sizes.tolist()) == sorted(counts.tolist())
    assert cut.sizes.sum() == cut.lengths.sum() == 31 * 40


def test_without_a_plane_all_is_one_region() -> None:
    cut = regions.cut(np.zeros((0, 4, 1), np.uint8), 5)
    assert (cut.sizes.tolist(), cut.lengths.tolist(), cut.runs.tolist()) == ([20], [20], [0])
    assert cut.members.shape == (1, 0)


def test_an_image_of_one_pixel() -> None:
    cut = regions.cut(pack(np.ones((1, 1, 1), bool)), 1)
    assert (cut.sizes.tolist(), cut.members.tolist()) == ([1], [[128]])
