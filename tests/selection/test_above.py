import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskquery.masks.packed import pack, union, unpack
from maskquery.selection.thresholds import above
from tests.support.builders import Bools


def test_a_similarity_equal_to_the_threshold_is_not_above_it() -> None:
    similarity = np.array([[0.3, 0.5], [0.25, 0.3000001]], np.float32)
    found = above(similarity, 0.3)
    assert found.dtype == bool
    assert found.tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, -0.3])
def test_a_float32_equal_to_a_threshold_without_exact_binary_form_is_not_above_it(
    threshold: float,
) -> None:
    assert not above(np.array([threshold], np.float32), threshold).any()


def test_thresholds_at_the_ends_choose_all_or_none() -> None:
    similarity = np.array([-0.999, 0.0, 1.0], np.float32)
    assert above(similarity, -1).all()
    assert not above(similarity, 1).any()


@given(st.data())
def test_the_union_has_the_pixels_of_any_chosen_mask(data: st.DataObject) -> None:
    shape = st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(1, 18))
    stack: Bools = data.draw(hnp.arrays(bool, shape))
    chosen: Bools = data.draw(hnp.arrays(bool, len(stack)))
    packed = pack(stack)
    before = packed.copy()
    found = union(packed, chosen)
    assert (found.dtype, found.shape) == (np.uint8, packed.shape[1:])
    np.testing.assert_array_equal(unpack(found, stack.shape[2]), stack[chosen].any(axis=0))
    np.testing.assert_array_equal(packed, before)
