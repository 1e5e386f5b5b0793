import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskquery.evaluation.oracles import best_union
from maskquery.masks.packed import pack
from tests.support.builders import Bools

SEEDS = st.integers(0, 2**32)


def best_of_all(masks: Bools, true: Bools) -> float:
    """Every subset tried."""
    best = 0.0
    for chosen in itertools.product([False, True], repeat=len(masks)):
        union = masks[list(chosen)].any(axis=0)
        best = max(best, (union & true).sum() / (union | true).sum())
    return best


@given(SEEDS)
def test_of_masks_that_do_not_overlap_it_is_the_best_of_all_unions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 7, (6, 11))
    masks = np.stack([parts == part for part in range(6)])
    true = rng.random((6, 11)) < rng.random((6, 11))
    true[0, 0] = True
    assert best_union(pack(masks), pack(true)) == pytest.approx(best_of_all(masks, true), abs=1e-12)


@given(SEEDS)
def test_it_is_never_above_the_best_and_never_below_a_single_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((6, 5, 9)) < rng.random((6, 1, 1))
    true = rng.random((5, 9)) < 0.5
    true[2, 2] = True
    found, best = best_union(pack(masks), pack(true)), best_of_all(masks, true)
    single = max((mask & true).sum() / (mask | true).sum() for mask in masks)
    assert single - 1e-12 <= found <= best + 1e-12


def test_a_mask_that_others_replace_is_taken_out_again() -> None:
    # The first choice is the big mask; the two small ones together do without its false positive.
    masks = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]], bool)[:, None]
    true = np.array([[1, 1, 1, 1, 0, 0]], bool)
    assert best_union(pack(masks[:1]), pack(true)) == 0.8
    assert best_union(pack(masks[1:]), pack(true)) == 1.0


def test_without_a_mask_that_touches_it_is_zero() -> None:
    true = np.array([[1, 1, 0, 0]], bool)
    assert best_union(pack(~true[None]), pack(true)) == 0.0
    assert best_union(pack(np.zeros((0, 1, 4), bool)), pack(true)) == 0.0
