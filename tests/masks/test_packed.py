import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskquery.masks import packed as masks
from tests.support.builders import Bools, masks_of

STACKS = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 18)))

LITERAL = np.array(
    [
        [[0, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ],
    bool,
)


def test_a_literal_mask_is_packed_along_the_width() -> None:
    packed = masks.pack(LITERAL)
    assert packed.dtype == np.uint8
    assert packed.tolist() == [[[0b01100000, 0], [0b00100000, 0]], [[0, 0], [0, 0b01000000]]]


@given(STACKS)
def test_packing_and_unpacking_give_back_the_mask(stack: Bools) -> None:
    packed = masks.pack(stack)
    assert packed.shape == (*stack.shape[:2], -(-stack.shape[2] // 8))
    result = masks.unpack(packed, stack.shape[2])
    assert result.dtype == bool
    np.testing.assert_array_equal(result, stack)


@given(STACKS)
def test_areas_are_those_of_the_booleans(stack: Bools) -> None:
    areas = masks.mask_areas(masks.pack(stack))
    assert areas.dtype == np.int64
    np.testing.assert_array_equal(areas, stack.sum(axis=(1, 2)))


@given(st.data())
def test_the_union_has_the_pixels_of_any_chosen_mask(data: st.DataObject) -> None:
    shape = st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(1, 18))
    stack: Bools = data.draw(hnp.arrays(bool, shape))
    chosen: Bools = data.draw(hnp.arrays(bool, len(stack)))
    packed = masks.pack(stack)
    before = packed.copy()
    result = masks.union(packed, chosen)
    assert (result.dtype, result.shape) == (np.uint8, packed.shape[1:])
    np.testing.assert_array_equal(masks.unpack(result, stack.shape[2]), stack[chosen].any(axis=0))
    np.testing.assert_array_equal(packed, before)


def test_a_literal_mask_has_a_tight_half_open_box() -> None:
    result = masks.mask_boxes(masks.pack(LITERAL), 10)
    assert result.dtype == np.int32
    assert result.tolist() == [[1, 0, 3, 2], [9, 1, 10, 2]]


@given(STACKS)
def test_boxes_hold_every_pixel_and_no_free_border(stack: Bools) -> None:
    stack = stack[stack.any(axis=(1, 2))]
    for mask, box in zip(stack, masks.mask_boxes(masks.pack(stack), stack.shape[2]), strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_an_id_is_the_start_of_the_hash_of_the_packed_bytes() -> None:
    packed = masks.pack(LITERAL)
    digest = hashlib.sha256(bytes([0b01100000, 0, 0b00100000, 0])).digest()
    ids = masks.mask_ids(packed)
    assert ids.dtype == np.uint64
    assert ids[0] == int.from_bytes(digest[:8], "big")


def test_an_id_does_not_depend_on_the_masks_beside_it() -> None:
    packed = masks.pack(LITERAL)
    assert masks.mask_ids(packed[::-1]).tolist() == masks.mask_ids(packed)[::-1].tolist()


def test_of_equal_masks_the_first_is_kept_and_empty_ones_are_dropped() -> None:
    empty = np.zeros_like(LITERAL[0])
    result = masks_of("a", np.stack([empty, LITERAL[1], LITERAL[0], LITERAL[1], empty]), seed=3)
    np.testing.assert_array_equal(masks.unpack(result.masks, 10), LITERAL[::-1])
    assert result.areas.tolist() == [1, 3]
    assert result.boxes.tolist() == [[9, 1, 10, 2], [1, 0, 3, 2]]
    np.testing.assert_allclose(result.predicted_iou, [0.6, 0.7])
    np.testing.assert_allclose(result.stability_score, [0.7, 0.8])
    assert result.points.tolist() == [[2.5, 3.5], [4.5, 5.5]]
    assert result.ids.tolist() == masks.mask_ids(masks.pack(LITERAL[::-1])).tolist()
    assert (result.image, result.height, result.width) == ("a", 2, 10)
    assert result.attributes == {"seed": 3}


def test_no_mask_at_all_is_fine() -> None:
    result = masks_of("a", np.zeros((0, 3, 10), bool))
    masks.check(result)
    assert (result.masks.shape, result.boxes.shape, result.points.shape) == (
        (0, 3, 2),
        (0, 4),
        (0, 2),
    )
    assert result.ids.dtype == np.uint64


CHANGES = {
    "dtype": ({"areas": np.array([3, 1], np.int32)}, "areas is int32"),
    "shape": ({"boxes": np.zeros((2, 5), np.int32)}, r"boxes is int32 \(2, 5\)"),
    "count": ({"points": np.zeros((3, 2), np.float32)}, r"points is float32 \(3, 2\)"),
    "width": ({"width": 30}, "for 30 x 2 pixels"),
    "padding": ({"width": 9}, "beyond the width of 9 pixels"),
    "no height": ({"height": 0, "masks": np.zeros((2, 0, 2), np.uint8)}, "10 x 0 pixels"),
    "equal ids": ({"ids": np.array([1, 1], np.uint64)}, "two masks have one id"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_what_does_not_fit_together_is_refused(change: dict[str, object], message: str) -> None:
    good = masks_of("room", LITERAL)
    masks.check(good)
    with pytest.raises(ValueError, match=f"room: .*{message}"):
        masks.check(masks.ImageMasks(**{**vars(good), **change}))


def chosen(count: int) -> tuple[Any, Any]:
    return np.arange(count, dtype=np.uint64), np.zeros(count, np.float32)


def test_a_prediction_has_an_id_and_a_score_for_each_chosen_mask() -> None:
    packed = masks.pack(LITERAL)
    with pytest.raises(ValueError, match=r"ids is uint64 \(2,\), not uint64 \(3,\)"):
        masks.check(
            masks.ImagePredictions("room", 2, 10, ("a", "b"), packed, 5, (1, 2), *chosen(2))
        )


def test_a_prediction_has_a_plane_and_a_count_for_each_class() -> None:
    packed = masks.pack(LITERAL)
    masks.check(masks.ImagePredictions("room", 2, 10, ("a", "b"), packed, 5, (1, 2), *chosen(3)))
    with pytest.raises(ValueError, match="2 planes for 1 classes"):
        masks.check(masks.ImagePredictions("room", 2, 10, ("a",), packed, 5, (1,), *chosen(1)))
    with pytest.raises(ValueError, match="1 counts for 2 classes"):
        masks.check(masks.ImagePredictions("room", 2, 10, ("a", "b"), packed, 5, (1,), *chosen(1)))
