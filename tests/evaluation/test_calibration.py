"""Against every threshold tried one by one."""

import numpy as np
import pytest

from maskquery.evaluation import calibration, curves
from maskquery.masks.packed import pack
from tests.support.builders import random_stack

THRESHOLDS = np.linspace(-0.1, 1.1, 241)


def some_images(count: int, seed: int) -> tuple[list[curves.ImageCurve], list[tuple[object, ...]]]:
    rng = np.random.default_rng(seed)
    found, plain = [], []
    for number in range(count):
        stack = random_stack(rng, 5, 8, 11)
        scores = (rng.integers(0, 9, 5) / 8).astype(np.float32)
        true = random_stack(rng, 1, 8, 11)[0] & (number % 2 == 0)
        found.append(curves.image_curve(pack(stack), scores, pack(true)))
        plain.append((stack, scores, true))
    return found, plain


def slow_worth(plain: list[tuple[object, ...]], threshold: float, cost: float) -> float:
    iou, alarms = [], []
    for stack, scores, true in plain:
        predicted = stack[scores > np.float32(threshold)].any(axis=0)  # type: ignore[index, operator]
        if true.any():  # type: ignore[attr-defined]
            iou.append((predicted & true).sum() / (predicted | true).sum())
        else:
            alarms.append(predicted.any())
    return float(np.mean(iou) - cost * np.mean(alarms))


@pytest.mark.parametrize("cost", [0.0, 0.2, 2.0])
def test_what_a_threshold_is_worth(cost: float) -> None:
    found, plain = some_images(7, 0)
    worth = calibration.worth(found, cost)
    expected = [slow_worth(plain, threshold, cost) for threshold in THRESHOLDS]
    np.testing.assert_allclose([worth.at(t) for t in THRESHOLDS], expected, atol=1e-12)
    best, value = worth.best()
    assert value == pytest.approx(max(expected))
    assert slow_worth(plain, best, cost) == pytest.approx(max(expected))


def test_one_threshold_for_all_classes() -> None:
    classes = [some_images(6, seed) for seed in (1, 2, 3)]
    absent = [image for image in classes[0][0] if not image.true]  # a class that is nowhere
    worth = calibration.mean([calibration.worth(own, 0.1) for own, _ in classes])
    with_absent = calibration.mean(
        [*(calibration.worth(own, 0.1) for own, _ in classes), calibration.worth(absent, 0.1)]
    )
    expected = [np.mean([slow_worth(p, t, 0.1) for _, p in classes]) for t in THRESHOLDS]
    np.testing.assert_allclose([worth.at(t) for t in THRESHOLDS], expected, atol=1e-12)
    np.testing.assert_allclose([with_absent.at(t) for t in THRESHOLDS], expected, atol=1e-12)


def test_without_an_image_of_the_class_nothing_is_worth_anything() -> None:
    assert np.isnan(calibration.worth([], 0.2).without)
    assert np.isnan(calibration.mean([calibration.worth([], 0.2)]).without)
    assert np.isnan(calibration.mean([]).without)


def test_false_alarms_that_have_no_pixel_are_none() -> None:
    nothing = curves.image_curve(
        np.zeros((1, 2, 1), np.uint8), np.array([0.5], np.float32), np.zeros((2, 1), np.uint8)
    )
    rate = calibration.false_positive_rate([nothing])
    assert (rate.at(0.1), rate.at(0.9)) == (0, 0)


def test_a_class_s_threshold_is_drawn_towards_the_common_one() -> None:
    worths = [calibration.worth(some_images(6, seed)[0], 0.1) for seed in (1, 2)]
    common, alone = calibration.thresholds(worths, 0.0)
    assert common == calibration.mean(worths).best()[0]
    assert alone == [worth.best()[0] for worth in worths]
    assert alone != [common, common]
    _, halfway = calibration.thresholds(worths, 0.5)
    assert halfway == pytest.approx([(own + common) / 2 for own in alone])  # type: ignore[operator]
    assert calibration.thresholds(worths, 1.0)[1] == pytest.approx([common, common])


def test_a_class_that_no_image_shows_or_no_mask_may_stand_for_has_the_common_threshold() -> None:
    images = some_images(6, 1)[0]
    absent = [image for image in images if not image.true]
    unmasked = curves.image_curve(
        np.zeros((0, 8, 2), np.uint8), np.zeros(0, np.float32), pack(np.ones((8, 11), bool))
    )
    worths = [calibration.worth(own, 0.1) for own in (images, absent, [unmasked])]
    common, found = calibration.thresholds(worths, 0.0)
    assert found[1:] == [common, common]
    assert calibration.thresholds(worths[1:], 0.0) == (None, [None, None])
