"""Literal 4 x 9 masks, and the packed code against the same in plain booleans."""

from typing import Any

import numpy as np
import pytest

from maskquery.masks.packed import ImageMasks, image_masks, pack, unpack
from maskquery.selection import rules
from tests.support.builders import NEUTRAL, Bools, masks_of, random_stack

WIDTH = 9


def drawn(*pictures: str) -> Bools:
    """Masks from words of four rows: "#" is in."""
    rows = [[list(row.ljust(WIDTH, ".")) for row in picture.split("/")] for picture in pictures]
    return np.array(rows) == "#"


def group_of(stack: Bools, quality: Any = None) -> ImageMasks:
    count = len(stack)
    quality = np.linspace(0.9, 0.5, count) if quality is None else quality
    return image_masks(
        "a",
        stack.shape[2],
        pack(stack),
        predicted_iou=quality,
        stability_score=np.ones(count),
        points=np.zeros((count, 2)),
    )


WHOLE = ".####/.####/.####/...."
PART = "..##./..##./...../....."
BESIDE = "...../...../...../.....##"
EDGE = "#..../#..../...../...."


def eligible(group: ImageMasks, score: Any = None, **changes: Any) -> list[list[bool]]:
    score = np.zeros((len(group.ids), 1), np.float32) if score is None else score
    score = np.asarray(score, np.float32)
    settings = NEUTRAL.model_copy(update=changes)
    found: list[list[bool]] = rules.eligible(
        group, score, np.ones(score.shape, bool), settings
    ).tolist()
    return found


def test_neutral_settings_leave_every_candidate() -> None:
    group = group_of(drawn(WHOLE, PART, EDGE))
    candidates = np.array([[True], [False], [True]])
    found = rules.eligible(group, np.zeros((3, 1), np.float32), candidates, NEUTRAL)
    np.testing.assert_array_equal(found, candidates)


def test_areas_and_the_border() -> None:
    group = group_of(drawn(WHOLE, PART, EDGE))  # 12, 4 and 2 of 36 pixels
    assert eligible(group, min_area=3 / 36) == [[True], [True], [False]]
    assert eligible(group, max_area=11 / 36) == [[False], [True], [True]]
    inside = group_of(drawn("...../.##../...../....", BESIDE))
    assert eligible(inside, at_border=False) == [[True], [False]]


def test_of_duplicates_the_better_one_stays() -> None:
    stack = drawn("####/####//", "####/###.//", "##../##..//", "//####/####")
    group = group_of(stack, quality=[0.5, 0.9, 0.8, 0.1])
    assert eligible(group, duplicate_iou=0.8) == [[False], [True], [True], [True]]
    assert eligible(group, duplicate_iou=0.9) == [[True]] * 4  # 7 of 8 pixels are shared: 0.875
    assert eligible(group, duplicate_iou=0.5) == [[False], [True], [False], [True]]


def test_a_whole_gives_way_to_a_part_of_it_with_a_higher_score() -> None:
    group = group_of(drawn(WHOLE, PART, BESIDE))
    score = [[0.5, 0.5], [0.6, 0.4], [0.9, 0.9]]
    kept = [[True, True], [True, True], [True, True]]
    assert eligible(group, score) == kept
    kept[0][0] = False  # of the first class alone
    assert eligible(group, score, part_share=0.9) == kept


def test_whether_a_mask_may_stand_does_not_depend_on_who_else_is_a_candidate() -> None:
    rng = np.random.default_rng(0)
    settings = NEUTRAL.model_copy(update={"part_share": 0.6, "duplicate_iou": 0.5})
    group = masks_of("a", random_stack(rng, 30, 12, 21))
    score = rng.random((len(group.ids), 3)).astype(np.float32)
    every = rules.eligible(group, score, np.ones(score.shape, bool), settings)
    assert 0 < every.sum() < every.size
    for threshold in (0.2, 0.5, 0.8):
        some = rules.eligible(group, score, score > threshold, settings)
        np.testing.assert_array_equal(some, every & (score > threshold))


def test_exclusive_masks_go_to_the_class_with_the_highest_score() -> None:
    group = group_of(drawn(WHOLE, PART))
    score = [[0.1, 0.2, 0.15], [0.3, 0.1, 0.2]]
    expected = [[False, True, False], [True, False, False]]
    assert eligible(group, score, exclusive="masks") == expected


def test_exclusive_pixels_go_to_the_smallest_chosen_mask() -> None:
    stack = drawn(WHOLE, PART, BESIDE)
    chosen = np.array([[True, False], [False, True], [False, False]])
    areas = stack.sum(axis=(1, 2))
    planes = rules.exclusive_planes(pack(stack), areas, chosen)
    found = unpack(planes, WIDTH)
    np.testing.assert_array_equal(found[0], stack[0] & ~stack[1])
    np.testing.assert_array_equal(found[1], stack[1])


def test_shared_pixels_are_those_of_both() -> None:
    stack = random_stack(np.random.default_rng(1), 12, 10, 27)
    group = masks_of("a", stack)
    for one in range(len(stack)):
        for other in range(len(stack)):
            expected = int((stack[one] & stack[other]).sum())
            assert rules.count_shared_pixels(group, one, other) == expected


def test_small_fragments_go_and_small_holes_are_filled() -> None:
    stack = drawn("######.../#.####.../######..#/######...")  # a hole and a fragment of one pixel
    group = group_of(stack)
    rows = np.arange(1)
    np.testing.assert_array_equal(rules.refine(group, rows, NEUTRAL), group.masks)
    settings = NEUTRAL.model_copy(update={"min_region": 0.1})
    (found,) = unpack(rules.refine(group, rows, settings), WIDTH)
    np.testing.assert_array_equal(found, drawn("/".join(["######..."] * 4))[0])
    np.testing.assert_array_equal(unpack(group.masks, WIDTH), stack)  # as before


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_of_fragments_alone_the_largest_stays(share: float) -> None:
    stack = drawn("##.......\n".strip() + "/........./#......../.........")
    settings = NEUTRAL.model_copy(update={"min_region": share})
    (found,) = unpack(rules.refine(group_of(stack), np.arange(1), settings), WIDTH)
    assert found.sum() == (2 if share == 1.0 or share == 0.5 else 3)
