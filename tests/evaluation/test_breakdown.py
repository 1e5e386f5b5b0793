import numpy as np
import pytest

from maskquery.evaluation import breakdown
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.counts import column
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.masks.packed import pack

SHAPE = (480, 640)


def image(*boxes: tuple[int, int], found: float = 1.0, predicted: bool = True) -> ImageResult:
    """One class; boxes of these heights and widths side by side, the left share of each found."""
    true, prediction = np.zeros((1, *SHAPE), bool), np.zeros((1, *SHAPE), bool)
    x = 2
    for height, width in boxes:
        true[0, 10 : 10 + height, x : x + width] = True
        prediction[0, 10 : 10 + height, x : x + round(width * found)] = predicted
        x += width + 2
    return breakdown.compare(pack(prediction), TruePlanes(pack(true), None), SHAPE[1])


def test_objects_and_images_are_told_apart_by_size() -> None:
    results = [image((20, 20), (100, 100), found=0.5), image((20, 30)), image((50, 50), found=0.2)]
    found = breakdown.by_size(results, 0)
    assert found["small"] == {"objects": 2, "recall": 0.75, "images": 1, "mean_image_iou": 1.0}
    assert found["medium"] == {"objects": 1, "recall": 0.2, "images": 1, "mean_image_iou": 0.2}
    assert found["large"] == {"objects": 1, "recall": 0.5, "images": 1, "mean_image_iou": 0.5}


def test_a_size_without_objects_has_no_value() -> None:
    found = breakdown.by_size([image((20, 20))], 0)["large"]
    assert (found["objects"], found["images"]) == (0, 0)
    assert np.isnan([found["recall"], found["mean_image_iou"]]).all()


def test_levels_of_clutter_are_thirds_of_the_images() -> None:
    results = [image(*[(20, 20)] * count) for count in (1, 1, 2, 3, 5, 9)]
    levels, up_to = breakdown.clutter_of(results)
    assert levels.tolist() == [0, 0, 1, 1, 2, 2]
    assert up_to == [1, 3, 9]
    alike, up_to = breakdown.clutter_of(results[:2])
    assert alike.tolist() == [0, 0]
    assert up_to == [1, 1, 1]


def test_figures_by_clutter_count_images_and_false_alarms() -> None:
    results = [image((20, 20), found=0.5), image(), image((20, 20), (20, 20))]
    alarm = np.zeros((1, *SHAPE), bool)
    alarm[0, :5, :5] = True
    none = np.zeros((1, *SHAPE), bool)
    results.append(breakdown.compare(pack(alarm), TruePlanes(pack(none), None), SHAPE[1]))
    found = breakdown.by_clutter(column([r.counts for r in results], 0), np.array([0, 0, 2, 2]))
    assert found["low"] == {
        "images": 1,
        "mean_image_iou": 0.5,
        "images_without_class": 1,
        "false_positive_images": 0,
    }
    assert found["high"] == {
        "images": 1, "mean_image_iou": 1.0, "images_without_class": 1, "false_positive_images": 1,
    }  # fmt: skip
    assert found["medium"]["images"] == 0


def test_a_boundary_is_compared_like_a_mask() -> None:
    inner = image((400, 600), found=0.9)
    assert inner.boundary.tp[0] < inner.counts.tp[0]
    # Bands of 16 pixels (2 % of the diagonal of 800) along three common sides.
    assert inner.boundary.tp[0] == 2 * 16 * 540 + (400 - 32) * 16
    assert inner.boundary.fp[0] == (400 - 32) * 16


def test_over_classes_counts_are_added_and_figures_averaged() -> None:
    none = {"images": 0, "mean_image_iou": np.nan}
    groups = [
        {"low": {"images": 1, "mean_image_iou": 0.5}, "high": none},
        {"low": {"images": 2, "mean_image_iou": 1.0}, "high": none},
    ]
    found = breakdown.over_classes(groups)
    assert found["low"] == {"images": 3, "mean_image_iou": 0.75}
    assert found["high"]["images"] == 0
    assert np.isnan(found["high"]["mean_image_iou"])


@pytest.mark.parametrize("empty", [(), ((20, 20),)])
def test_an_image_without_a_prediction_is_no_error(empty: tuple) -> None:
    found = image(*empty, predicted=False)
    assert found.counts.predicted.sum() == 0
    assert found.boundary.predicted.sum() == 0
