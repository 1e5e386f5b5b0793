import numpy as np
import pytest

from maskquery.sam.grid import Bools, coarse_points, uncertain_points


def test_every_second_point_of_every_second_row() -> None:
    assert coarse_points(5).reshape(5, 5).astype(int).tolist() == [
        [1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1],
    ]


def masks(*pictures: str) -> Bools:
    return np.array([[sign == "#" for row in one.split() for sign in row] for one in pictures])


def test_points_within_a_mask_are_certain_and_at_its_edges_not() -> None:
    uncertain = uncertain_points(masks(" ".join(["#####.."] * 7))).reshape(7, 7)
    assert not uncertain[:, :5].any()
    assert uncertain[:, 5].all()  # between the last that are in it and the first that are not
    assert not (uncertain & coarse_points(7).reshape(7, 7)).any()


def test_points_in_no_mask_are_uncertain() -> None:
    everywhere = np.zeros((2, 25), bool)
    np.testing.assert_array_equal(uncertain_points(everywhere), ~coarse_points(5))
    np.testing.assert_array_equal(uncertain_points(everywhere[:0]), ~coarse_points(5))


def test_a_mask_that_no_coarse_point_is_in() -> None:
    """It lies around one point alone, within a larger mask."""
    spot = np.zeros(49, bool)
    spot[3 * 7 + 3] = True
    assert np.flatnonzero(uncertain_points(np.stack([np.ones(49, bool), spot]))).tolist() == [
        3 * 7 + 3
    ]


@pytest.mark.parametrize("side", [1, 2, 3, 8])
def test_sides(side: int) -> None:
    assert coarse_points(side).sum() == ((side + 1) // 2) ** 2
    assert not uncertain_points(np.ones((1, side**2), bool)).any()
