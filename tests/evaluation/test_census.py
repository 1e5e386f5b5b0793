from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maskquery.evaluation.census import Census

CHAIR = {"chair": (6,), "sofa": (7, 8)}


def clause(*maps: np.ndarray, ignored: tuple[int, ...] = ()) -> str:
    census = Census(CHAIR, ignored)
    for labels in maps:
        census.add(labels)
    return census.clause()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "u8"])
def test_labels_of_no_class_are_told_with_their_share(dtype: str) -> None:
    labels = np.full((10, 100), 6, dtype)
    labels[0, :96], labels[1, :2] = 255 if dtype != "i1" else 99, 17
    assert clause(labels) == "; labels of no class: 255 (9.6 %), 17 (0.2 %)"


def test_the_share_is_of_all_maps() -> None:
    plain = np.full((10, 10), 7, np.uint8)
    assert clause(plain) == ""
    assert clause(plain, plain, np.zeros((5, 20), np.int64)) == "; labels of no class: 0 (33.3 %)"
    assert clause() == ""


def test_labels_below_zero_and_far_apart() -> None:
    labels = np.array([[-(2**63), -1, 2**63 - 1, 6]])
    assert clause(labels).count("(25.0 %)") == 3
    assert "18446744073709551615 (50.0 %)" in clause(np.array([[2**64 - 1, 6]], np.uint64))


def test_a_few_are_told_one_by_one() -> None:
    """What bilinear resizing leaves: many labels of few pixels."""
    labels = np.arange(200, dtype=np.uint8)[None]
    assert clause(labels).endswith("4 (0.5 %), 192 others (96.0 %)")
    assert clause(np.zeros((100, 100), np.uint8) + (np.arange(100) == 0)).startswith("; labels")
    one = np.full((100, 100), 6)
    one[0, 0] = 1
    assert clause(one) == "; labels of no class: 1 (< 0.1 %)"


def test_numbers_of_objects_take_bounded_memory() -> None:
    labels = np.arange(30_000).reshape(100, 300)
    assert "more than 9995 others" in clause(labels)


def test_ignored_labels_are_not_told() -> None:
    assert clause(np.array([[255, 6]]), ignored=(255,)) == ""


def test_threads_share_one() -> None:
    census = Census(CHAIR)
    labels = np.array([[0, 6]], np.uint8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(census.add, [labels] * 500))
    assert census.clause() == "; labels of no class: 0 (50.0 %)"
