from collections.abc import Callable

import numpy as np
import pytest

from maskquery.review import significance

IMAGES = 60


def table(of: Callable[[int, str], float], images: int = IMAGES) -> str:
    """An images.csv in which every image shows a chair, and every other one a lamp."""
    rows = [
        f"room-{image:03},{name},{of(image, name):.6f},1,1,1"
        for image in range(images)
        for name in ("chair", "lamp")
        if name == "chair" or image % 2
    ]
    return "\n".join(["image,class,iou,tp,fp,fn", *rows, "room-000,lamp,,0,9,0"]) + "\n"


def hard(image: int, name: str) -> float:
    """Images differ far more than any change."""
    return 0.3 + 0.4 * ((image * 7 + len(name)) % 11) / 10


def changed(by: float, noise: float) -> Callable[[int, str], float]:
    rng = np.random.default_rng(1)
    moves = dict(zip(range(IMAGES), rng.normal(by, noise, IMAGES), strict=True))
    return lambda image, name: hard(image, name) + moves[image]


def test_a_base_with_the_same_numbers_has_an_interval_around_zero() -> None:
    found = significance.differences(table(hard), table(hard))
    names = ["mean_image_iou", "classes.chair.mean_image_iou", "classes.lamp.mean_image_iou"]
    assert [each.name for each in found] == names
    assert [each.images for each in found] == [60, 60, 30]
    assert [str(each) for each in found] == ["+0.000 (+0.000 to +0.000)"] * 3
    assert not any(each.is_significant for each in found)


@pytest.mark.parametrize(("by", "significant"), [(0.02, True), (-0.02, True), (0.001, False)])
def test_two_points_are_more_than_chance_and_a_tenth_is_not(by: float, significant: bool) -> None:
    mean, *_ = significance.differences(table(hard), table(changed(by, 0.02)))
    assert mean.is_significant == significant
    assert mean.interval is not None
    assert mean.interval["low"] < mean.change < mean.interval["high"]
    assert mean.change == pytest.approx(by, abs=0.005)


def test_the_change_is_that_of_the_metric() -> None:
    before, now = table(hard), table(changed(-0.02, 0.02))
    mean, chair, lamp = significance.differences(before, now)
    moves = [changed(-0.02, 0.02)(image, "chair") - hard(image, "chair") for image in range(IMAGES)]
    assert chair.change == pytest.approx(np.mean(moves), abs=1e-6)
    assert lamp.change == pytest.approx(np.mean(moves[1::2]), abs=1e-6)
    assert mean.change == pytest.approx((chair.change + lamp.change) / 2)


def test_the_interval_of_a_class_in_every_image_is_that_of_the_normal_distribution() -> None:
    # Of differences d of n images, resampled means have the deviation std(d) / sqrt(n).
    now = changed(0.02, 0.02)
    _, chair, _ = significance.differences(table(hard), table(now))
    moves = np.array([now(image, "chair") - hard(image, "chair") for image in range(IMAGES)])
    assert chair.interval is not None
    half = 1.96 * moves.std() / np.sqrt(IMAGES)
    assert chair.interval["low"] == pytest.approx(moves.mean() - half, abs=0.2 * half)
    assert chair.interval["high"] == pytest.approx(moves.mean() + half, abs=0.2 * half)


def test_below_five_images_there_is_no_interval() -> None:
    def better(image: int, name: str) -> float:
        return hard(image, name) + 0.1

    few = significance.differences(table(hard, 4), table(better, 4))
    assert [each.interval for each in few] == [None] * 3
    assert str(few[0]) == "+0.100"
    assert not few[0].is_significant
    mean, chair, lamp = significance.differences(table(hard, 5), table(better, 5))
    assert mean.is_significant
    assert chair.is_significant
    assert (lamp.images, lamp.interval) == (2, None)


def test_images_that_one_revision_lacks_do_not_count() -> None:
    found = significance.differences(table(hard, 7), table(hard, 20))
    assert found[0].images == 7
    assert significance.differences("", table(hard)) == []
