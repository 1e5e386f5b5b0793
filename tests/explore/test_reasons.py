"""Each left-out mask has its rule, and the rules one by one leave what all at once leave."""

from typing import Any

import numpy as np
import pytest

from maskquery.explore import reasons
from maskquery.selection import rules
from maskquery.selection.rules import Selection
from tests.support.builders import masks_of, random_stack

ALL: dict[str, Any] = {
    "min_area": 0.05,
    "max_area": 0.3,
    "at_border": False,
    "duplicate_iou": 0.3,
    "part_share": 0.4,
    "exclusive": "masks",
}


def selection(**changes: Any) -> Selection:
    return reasons.NEUTRAL.model_copy(update=changes)


def square(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("names", [tuple(ALL), *[(name,) for name in ALL]])
def test_what_no_rule_leaves_out_is_what_the_pipeline_keeps(
    seed: int, names: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(seed)
    group = masks_of("image", random_stack(rng, 25, 24, 32))
    score = rng.random((25, 3)).astype(np.float32)
    settings = selection(**{name: ALL[name] for name in names})
    kept = rules.eligible(group, score, np.ones(score.shape, bool), settings)
    reason = reasons.left_out(group, score, settings)
    assert np.array_equal(reason == 0, kept)
    allowed = {0, *(1 + reasons.ORDER.index(name) for name in names)}
    assert set(np.unique(reason).tolist()) <= allowed


def test_each_rule_is_named() -> None:
    stack = np.stack(
        [
            square(5, 5, 6, 6),  # small
            square(1, 1, 19, 19),  # large
            square(0, 8, 4, 12),  # at the border
            square(6, 6, 12, 12),
            square(6, 6, 12, 11),  # nearly the same
            square(14, 2, 18, 5),  # of the other class
            square(13, 10, 18, 18),  # holds the next
            square(14, 12, 16, 16),
        ]
    )
    group = masks_of("image", stack)
    order = [int(np.flatnonzero(group.areas == mask.sum())[0]) for mask in stack]
    assert len(set(order)) == len(stack)
    score = np.tile(np.array([[0.5, 0.1]], np.float32), (len(stack), 1))
    score[order[5]] = [0.5, 0.9]
    score[order[7]] = [0.9, 0.1]
    settings = selection(
        min_area=0.01, max_area=0.5, at_border=False, duplicate_iou=0.6, part_share=0.5,
        exclusive="masks",
    )  # fmt: skip
    words = reasons.words(settings)
    reason = reasons.left_out(group, score, settings)[:, 0]
    wanted = ["min_area", "max_area", "at_border", "", "", "exclusive", "part_share", ""]
    for place, key in zip(order, wanted, strict=True):
        if key:
            assert f"selection.{key}" in words[reason[place]]
    duplicates = [words[reason[order[place]]] for place in (3, 4)]
    assert sorted(map(bool, duplicates)) == [False, True]
    assert "selection.duplicate_iou" in "".join(duplicates)
    assert not words[reason[order[7]]]
