import pytest

from maskquery.core.errors import UserError
from maskquery.evaluation import splits

IMAGES = ["room-000", "room-5000", "street/room-5", "ROOM-5"]


def test_every_image_is_of_one_part() -> None:
    assert splits.calibration_split(IMAGES, ["room-5*"]) == ["room-5000"]
    assert splits.test_split(IMAGES, ["room-5*"]) == ["room-000", "street/room-5", "ROOM-5"]
    assert splits.calibration_split(IMAGES, ["street/*", "room-?00"]) == [
        "room-000",
        "street/room-5",
    ]


def test_without_patterns_everything_is_reported() -> None:
    assert splits.test_split(IMAGES, []) == IMAGES


def test_there_need_not_be_a_calibration_part() -> None:
    assert splits.calibration_split(IMAGES, ["x*"]) == []


def test_an_empty_test_part_is_refused() -> None:
    with pytest.raises(UserError, match=r"calibration: every image fits \['\*'\]"):
        splits.test_split(IMAGES, ["*"])
