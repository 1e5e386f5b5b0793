import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskquery.evaluation import counts
from maskquery.masks.packed import pack
from tests.support.builders import Bools


def agreement_of(tp: list, fp: list, fn: list, pixels: int = 100) -> counts.ConfusionCounts:
    """Lists of numbers as an ConfusionCounts."""
    arrays = [np.array(values, np.int64) for values in (tp, fp, fn)]
    return counts.ConfusionCounts(*arrays, np.full_like(arrays[0], pixels))


def test_a_literal_image_is_counted() -> None:
    predicted = np.array([[[1, 1, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]], bool)
    true = np.array([[[0, 1, 1], [0, 1, 1]], [[0, 0, 1], [0, 0, 0]]], bool)
    found = counts.agreement(pack(predicted), pack(true), 6)
    assert found.tp.tolist() == [2, 0]
    assert found.fp.tolist() == [1, 0]
    assert found.fn.tolist() == [2, 1]
    assert found.pixels.tolist() == [6, 6]
    assert found.true.tolist() == [4, 1]
    assert found.predicted.tolist() == [3, 0]
    assert counts.iou(found).tolist() == [0.4, 0.0]


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 18)).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


@given(PAIRS)
def test_bits_give_what_booleans_give(pair: tuple[Bools, Bools]) -> None:
    predicted, true = pair
    found = counts.agreement(pack(predicted), pack(true), predicted[0].size)
    axes = (1, 2)
    np.testing.assert_array_equal(found.tp, (predicted & true).sum(axes))
    np.testing.assert_array_equal(found.fp, (predicted & ~true).sum(axes))
    np.testing.assert_array_equal(found.fn, (~predicted & true).sum(axes))
    np.testing.assert_array_equal(found.pixels, [predicted[0].size] * len(predicted))
    for p, t, value in zip(predicted, true, counts.iou(found), strict=True):
        if (p | t).any():
            assert value == (p & t).sum() / (p | t).sum()
        else:
            assert math.isnan(value)


def test_empty_against_empty_has_no_iou_and_enters_no_mean() -> None:
    assert math.isnan(counts.iou(agreement_of([0], [0], [0]))[0])
    assert counts.mean(np.array([0.5, np.nan, 1.0])) == 0.75
    assert math.isnan(counts.mean(np.array([np.nan])))
    assert math.isnan(counts.mean(np.array([])))


def test_a_class_is_averaged_over_the_images_that_show_it() -> None:
    # IoU 0.5 and 0; then an image without the class but with an alarm, and one with neither.
    found = counts.class_figures(agreement_of([10, 0, 0, 0], [5, 0, 20, 0], [5, 30, 0, 0]))
    assert found == {
        "mean_image_iou": 0.25,
        "pooled_iou": 10 / 70,
        "precision": 10 / 35,
        "recall": 10 / 45,
        "f1": 20 / 80,
        "images_with_class": 2,
        "images_without_class": 2,
        "false_positive_images": 1,
    }


def test_figures_without_a_value_are_nan() -> None:
    absent = counts.class_figures(agreement_of([0], [0], [0]))
    assert {name for name, value in absent.items() if math.isnan(value)} == {
        "mean_image_iou",
        "pooled_iou",
        "precision",
        "recall",
        "f1",
    }
    missed = counts.class_figures(agreement_of([0], [0], [7]))
    assert math.isnan(missed["precision"])
    assert (missed["recall"], missed["mean_image_iou"], missed["pooled_iou"]) == (0, 0, 0)


@given(PAIRS)
def test_the_baselines_are_what_such_predictions_would_get(pair: tuple[Bools, Bools]) -> None:
    predicted, true = pair
    pixels = true[0].size
    found = counts.agreement(pack(predicted), pack(true), pixels)
    for baseline, value in (("predict_all", True), ("predict_none", False)):
        planes = np.full_like(true, value)
        expected = counts.agreement(pack(planes), pack(true), pixels)
        for name, array in vars(counts.BASELINES[baseline](found)).items():
            np.testing.assert_array_equal(array, getattr(expected, name))


def test_a_column_is_one_class_of_all_images() -> None:
    found = counts.column(
        [agreement_of([1, 2], [3, 4], [5, 6]), agreement_of([7, 8], [9, 0], [1, 2])], 1
    )
    assert [array.tolist() for array in vars(found).values()] == [
        [2, 8],
        [4, 0],
        [6, 2],
        [100, 100],
    ]


def test_a_tidy_tree_is_json() -> None:
    tree = {"a": 1 / 3, "b": {"c": math.nan, "d": {"e": math.nan}}, "f": 2, "g": {"h": 0.0}}
    assert counts.tidy(tree) == {"a": 0.333333, "f": 2, "g": {"h": 0.0}}
