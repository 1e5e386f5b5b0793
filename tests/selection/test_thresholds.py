import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.selection import thresholds
from maskquery.selection.thresholds import Threshold


class Params(params.Section):
    threshold: Threshold


def floats(*values: float) -> thresholds.Floats:
    return np.array(values, np.float32)


@pytest.mark.parametrize("value", [-1, 0.3, 1, "calibrated", "common", "otsu", "largest_gap"])
def test_a_threshold_is_a_number_or_a_rule(value: float | str) -> None:
    threshold = Params(threshold=value).threshold
    assert threshold == Threshold(value)
    assert str(threshold) == (value if isinstance(value, str) else f"{value:g}")
    assert threshold.is_adaptive == (value in ("otsu", "largest_gap"))
    assert threshold.is_from_file == (value in ("calibrated", "common"))
    assert Params(threshold=value).model_dump() == {"threshold": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.01", "threshold is 1.01; it must be less than or equal to 1"),
        ("-2", "threshold is -2; it must be greater than or equal to -1"),
        (".nan", "threshold is nan; it must be a finite number"),
        ("true", "threshold is true; it must be a number, or one of calibrated, common, otsu"),
        ("Otsu", "threshold is 'Otsu'; it must be a number, or one of calibrated, common, otsu"),
        ("'1e-3'", "largest_gap; this is text, write 0.001 without quotes"),
        ("[0.3]", "must be a number, or one of"),
    ],
)
def test_anything_else_is_told_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"threshold: {text}\n")
    with pytest.raises(UserError) as caught:
        params.load(Params, path)
    assert message in str(caught.value)


def test_otsu_is_the_split_with_the_greatest_variance_between_groups() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 10, 50):
        scores = rng.random(count).astype(np.float32)
        ordered = np.sort(scores.astype(float))

        def between(split: int, own: Any = ordered) -> float:
            low, high = own[:split], own[split:]
            return len(low) * len(high) * (high.mean() - low.mean()) ** 2

        best = max(range(1, count), key=between)
        assert thresholds.otsu(scores) == pytest.approx((ordered[best - 1] + ordered[best]) / 2)


def test_the_largest_gap() -> None:
    assert thresholds.largest_gap(floats(0.75, 0.0, 0.25)) == 0.5
    assert thresholds.largest_gap(floats(0, 0.5, 1)) == 0.75  # of equal gaps the highest


@pytest.mark.parametrize("rule", thresholds.ADAPTIVE.values())
def test_scores_that_cannot_be_split_choose_nothing(rule: Any) -> None:
    assert rule(floats()) == 1.0
    assert rule(floats(0.4)) == pytest.approx(0.4)
    assert rule(floats(0.4, 0.4)) == pytest.approx(0.4)


def test_each_image_and_class_has_a_threshold() -> None:
    score = np.array([[0.125, 0.5], [0.25, 0.625], [0.875, 1]], np.float32)
    nowhere = Path("none.json")  # not read
    assert Threshold(0.25).resolve(nowhere, ["a", "b"])(score).tolist() == [0.25, 0.25]
    of_image = Threshold("largest_gap").resolve(nowhere, ["a", "b"])
    assert of_image(score).tolist() == [0.5625, 0.8125]
    assert of_image(score).dtype == np.float32
    assert Threshold(0.25).by_class(nowhere, ["a", "b"]) == {"a": 0.25, "b": 0.25}
    assert Threshold("otsu").by_class(nowhere, ["a", "b"]) == {}


def test_thresholds_of_the_calibration_part_are_read(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"common": 0.25, "classes": {"a": 0.5, "b": None, "c": -1}}))
    calibrated, common = Threshold("calibrated"), Threshold("common")
    assert calibrated.resolve(path, ["c", "a"])(floats(0, 0)).tolist() == [-1, 0.5]
    assert common.resolve(path, ["c", "x"])(floats(0, 0)).tolist() == [0.25, 0.25]
    assert calibrated.by_class(path, ["a", "b", "x"]) == {"a": 0.5}
    for classes in (["a", "b"], ["a", "x"]):
        with pytest.raises(UserError, match=rf"threshold: calibrated needs .* {classes[1]}, and"):
            calibrated.resolve(path, classes)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"classes": {"a": 2}}', '{"classes": {"a": true}}', '{"classes": 1}']
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"thresholds\.json cannot be used"):
        Threshold("calibrated").resolve(path, ["a"])
    with pytest.raises(UserError, match=r"none\.json cannot be used"):
        Threshold("common").resolve(tmp_path / "none.json", ["a"])


def test_a_similarity_equal_to_the_threshold_is_not_above_it() -> None:
    similarity = np.array([[0.3, 0.5], [0.25, 0.3000001]], np.float32)
    found = thresholds.above(similarity, 0.3)
    assert found.dtype == bool
    assert found.tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, -0.3])
def test_a_float32_equal_to_a_threshold_without_exact_binary_form_is_not_above_it(
    threshold: float,
) -> None:
    assert not thresholds.above(np.array([threshold], np.float32), threshold).any()


def test_thresholds_at_the_ends_choose_all_or_none() -> None:
    similarity = np.array([-0.999, 0.0, 1.0], np.float32)
    assert thresholds.above(similarity, -1).all()
    assert not thresholds.above(similarity, 1).any()
