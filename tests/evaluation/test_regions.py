import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskquery.evaluation import regions
from maskquery.masks.packed import pack, unpack
from tests.support.builders import Bools


def slow_regions(plane: Bools) -> list[Bools]:
    """8-connected regions by flooding."""
    left, found = {tuple(p) for p in np.argwhere(plane).tolist()}, []
    while left:
        waiting, own = [left.pop()], np.zeros_like(plane)
        while waiting:
            y, x = waiting.pop()
            own[y, x] = True
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(own)
    return found


def random_plane(seed: int, share: float) -> Bools:
    return np.random.default_rng(seed).random((9, 14)) < share


SEEDS, SHARES = st.integers(0, 2**32), st.sampled_from([0.0, 0.2, 0.4, 0.9])


@given(SEEDS, SHARES)
def test_regions_are_what_flooding_finds(seed: int, share: float) -> None:
    plane = random_plane(seed, share)
    found = {mask.tobytes() for mask in regions.regions(plane)}
    assert found == {mask.tobytes() for mask in slow_regions(plane)}


def test_specks_are_left_out() -> None:
    plane = np.zeros((300, 200), bool)
    plane[0, 0] = plane[5, 5] = True
    plane[100:102, 100:103] = True  # 6 pixels are 1e-4 of the image
    (found,) = regions.regions(plane)
    assert found.sum() == 6


@given(SEEDS, SHARES)
def test_objects_are_counted_with_what_was_found_of_them(seed: int, share: float) -> None:
    true = np.stack([random_plane(seed, share), random_plane(seed + 1, 0.3)])
    predicted = np.stack([random_plane(seed + 2, 0.5), random_plane(seed + 3, share)])
    found = regions.objects(pack(predicted), pack(true), 14)
    rows = zip(found.classes.tolist(), found.areas.tolist(), found.tp.tolist(), strict=True)
    expected = [
        (index, int(mask.sum()), int((mask & predicted[index]).sum()))
        for index in (0, 1)
        for mask in slow_regions(true[index])
    ]
    assert sorted(rows) == sorted(expected)
    assert found.pixels == 9 * 14


@pytest.mark.parametrize(
    ("area", "width", "height", "size"),
    [
        (32**2 - 1, 640, 480, "small"),
        (32**2, 640, 480, "medium"),
        (96**2 - 1, 640, 480, "medium"),
        (96**2, 640, 480, "large"),
        (4 * 32**2 - 1, 1280, 960, "small"),  # twice the image, twice the object
        (96**2 // 4, 320, 240, "large"),
    ],
)
def test_sizes_are_cocos_as_shares_of_the_image(
    area: int, width: int, height: int, size: str
) -> None:
    (found,) = regions.size_of(np.array([area]), width * height)
    assert regions.SIZES[found] == size


@given(SEEDS, SHARES)
def test_boundaries_are_near_an_edge(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    planes = np.stack([np.kron(rng.random((5, 7)) < share, np.ones((13, 17), bool))] * 2)
    planes[1] = False
    height, width = planes.shape[1:]
    distance = round(0.02 * np.hypot(height, width))
    assert distance == 3
    outside = np.pad(~planes[0], distance, constant_values=True)
    windows = np.lib.stride_tricks.sliding_window_view(outside, (2 * distance + 1,) * 2)
    found = unpack(regions.boundaries(pack(planes), width), width)
    np.testing.assert_array_equal(found[0], planes[0] & windows.any(axis=(2, 3)))
    assert not found[1].any()


def reference_boundary(mask: Bools) -> Bools:
    """The reference implementation: erosion by a 3 x 3 square, as often as the band is wide."""
    height, width = mask.shape
    rounds = max(1, round(0.02 * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=rounds)
    edge: Bools = mask & ~inner[1:-1, 1:-1].astype(bool)
    return edge


def test_boundaries_are_those_of_the_reference_implementation() -> None:
    rng = np.random.default_rng(11)
    sizes = [(1, 1), (3000, 17), (17, 3000), (1, 40), (40, 1)]
    sizes += [(int(h), int(w)) for h, w in rng.integers(1, 400, (95, 2))]
    for height, width in sizes:
        coarse = rng.random((height // 25 + 1, width // 25 + 1)) < 0.6
        blocks = np.kron(coarse, np.ones((25, 25), bool))[:height, :width]
        mask = blocks & (rng.random((height, width)) < rng.choice([0.995, 1.0]))
        found = unpack(regions.boundaries(pack(mask[None]), width), width)[0]
        np.testing.assert_array_equal(found, reference_boundary(mask), f"{height} x {width}")


def test_what_is_thinner_than_two_bands_is_all_boundary() -> None:
    band = 10  # of 300 x 400 pixels
    for height, same in ((2 * band, True), (2 * band + 1, False)):
        mask = np.zeros((1, 300, 400), bool)
        mask[0, 50 : 50 + height, 50:350] = True
        assert np.array_equal(regions.boundaries(pack(mask), 400), pack(mask)) == same
