import re

import numpy as np
import pytest

from maskquery.evaluation import panels
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.masks.packed import pack

PREDICTED = np.array([[1, 1, 0, 0]], bool)
TRUE = np.array([[1, 0, 1, 0]], bool)


def test_hits_misses_and_false_alarms_do_not_overlap() -> None:
    found = {layer.name: layer.mask.tolist() for layer in panels.layers(PREDICTED, TRUE)}
    assert found == {
        "true positive": [[True, False, False, False]],
        "false negative": [[False, False, True, False]],
        "false positive": [[False, True, False, False]],
    }


def test_without_ground_truth_there_is_only_what_was_predicted() -> None:
    (layer,) = panels.layers(PREDICTED, None)
    assert layer.name == "predicted"
    np.testing.assert_array_equal(layer.mask, PREDICTED)


def test_colours_are_laid_over_the_pixels_of_their_layer_only() -> None:
    image = np.full((1, 4, 3), [200, 30, 10], np.uint8)  # whose luma is 79
    found = panels.paint(image, panels.layers(PREDICTED, TRUE))
    over = [
        [round(79 * (1 - panels.OPACITY) + part * panels.OPACITY) for part in colour]
        for colour in (panels.TRUE_POSITIVE, panels.FALSE_POSITIVE, panels.FALSE_NEGATIVE)
    ]
    assert found.tolist() == [[*over, [79, 79, 79]]]
    assert image.tolist() == np.full((1, 4, 3), [200, 30, 10]).tolist()


def test_the_colours_differ_for_those_who_do_not_see_red_or_green() -> None:
    # Machado et al. 2009, severity 1: what protanopes and deuteranopes see, on linear RGB.
    matrices = [
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    ]
    colours = np.array([panels.TRUE_POSITIVE, panels.FALSE_NEGATIVE, panels.FALSE_POSITIVE]) / 255
    for matrix in matrices:
        seen = np.clip((colours**2.2) @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert np.linalg.norm(seen[one] - seen[other]) > 0.25


def test_black_and_white_is_white_where_set() -> None:
    found = panels.black_and_white(PREDICTED)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[255] * 3, [255] * 3, [0] * 3, [0] * 3]]


@pytest.mark.parametrize("shape", [(10, 30), (30, 10), (900, 1200), (1, 5000)])
def test_the_longer_side_is_brought_to_the_cell(shape: tuple[int, int]) -> None:
    image = panels.shrink(np.zeros((*shape, 3), np.uint8))
    mask = panels.shrink_mask(np.ones(shape, bool))
    assert image.shape[:2] == mask.shape
    assert max(mask.shape) == panels.CELL
    ratio = panels.CELL / max(shape)
    assert min(mask.shape) == max(1, round(min(shape) * ratio))
    assert mask.all()


def test_a_shrunk_mask_is_set_where_most_of_its_pixels_are() -> None:
    mask = np.zeros((800, 800), bool)
    mask[:, :401] = True  # column 400 of 0 to 399 twos: half of the pixels of cell column 200
    found = panels.shrink_mask(mask)
    assert found[:, :200].all()
    assert not found[:, 201:].any()


def test_panels_hold_four_pictures_with_ground_truth_and_three_without() -> None:
    image = np.full((100, 200, 3), 90, np.uint8)
    predicted = np.zeros((100, 200), bool)
    predicted[:50] = True
    true = np.zeros((100, 200), bool)
    true[:, :100] = True
    four = np.asarray(
        panels.panel_of(image, pack(predicted), TruePlanes(pack(true[None]), None), "chair", "a")
    )
    three = np.asarray(panels.panel_of(image, pack(predicted), None, "chair", "a"))
    assert four.shape == (2 * 232 + 32, 824, 3)
    assert three.shape == (232 + 32, 1232, 3)
    # The middles of the quarters of each picture: left, right, lower left, lower right.
    top, left, right, lower = 24, 8, 416, 256
    assert four[top + 50, left + 100].tolist() == [90] * 3
    truth = [four[top + y, right + x].tolist() for y in (50, 150) for x in (100, 300)]
    assert truth == [[255] * 3, [0] * 3, [255] * 3, [0] * 3]
    found = [four[lower + y, left + x].tolist() for y in (50, 150) for x in (100, 300)]
    assert found == [[255] * 3, [255] * 3, [0] * 3, [0] * 3]
    over = [four[lower + y, right + x] for y in (50, 150) for x in (100, 300)]
    expected = [panels.TRUE_POSITIVE, panels.FALSE_POSITIVE, panels.FALSE_NEGATIVE, None]
    for pixel, colour in zip(over, expected, strict=True):
        mixed = np.array([90] * 3 if colour is None else colour)
        np.testing.assert_allclose(pixel, mixed if colour is None else 36 + 0.6 * mixed, atol=1)
    assert three[top + 50, right + 300].tolist() == [255] * 3
    np.testing.assert_allclose(
        three[top + 50, 824 + 100], 36 + 0.6 * np.array(panels.TRUE_POSITIVE), atol=1
    )
    assert three[top + 150, 824 + 100].tolist() == [90] * 3


def test_panels_are_drawn_alike_every_time() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    first, second = (
        panels.panel_of(image, pack(image[..., 0] > 99), None, "chair", "a") for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


def test_file_names_are_plain_and_of_one_image_each() -> None:
    images = ["room_0007", "a/b", "a_b", "a%2Fb", "部屋", "屋部", "new\nline", "x" * 300, "x" * 301]
    names = [panels.file_name(image) for image in images]
    assert len(set(names)) == len(images)
    assert names[0] == "room_0007.jpg"
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,120}\.jpg", name)


def test_a_title_keeps_its_end() -> None:
    assert panels._fitting("room-000") == "room-000"
    long = panels._fitting(f"{'folder/' * 40}room-000")
    assert long.startswith("…")
    assert long.endswith("folder/room-000")
