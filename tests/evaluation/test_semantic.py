from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from maskquery.evaluation import semantic
from maskquery.evaluation.ground_truth import GroundTruth, TruePlanes
from maskquery.masks.packed import Packed, pack

VOID = 9


def packed(labels: np.ndarray, classes: int) -> Packed:
    return pack(np.stack([labels == index + 1 for index in range(classes)]))


def matrix_of(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    void = pack(true == VOID) if (true == VOID).any() else None
    truth = TruePlanes(packed(true, classes), void)
    return semantic.confusion(packed(predicted, classes), truth, true.shape[1])


def independent(predicted: list[int], true: list[int], classes: int) -> dict[str, float]:
    """Pixel by pixel, without a matrix."""
    pixels = [(p, t) for p, t in zip(predicted, true, strict=True) if t != VOID]
    ious, frequency = {}, 0.0
    for index in range(classes + 1):
        both = sum(p == t == index for p, t in pixels)
        either = sum(index in (p, t) for p, t in pixels)
        if either:
            ious[index] = both / either
            frequency += ious[index] * sum(t == index for _, t in pixels) / len(pixels)
    no_background = [iou for index, iou in ious.items() if index]
    figures = {
        "miou_with_background": sum(ious.values()) / len(ious),
        "frequency_weighted_iou": frequency,
        "pixel_accuracy": sum(p == t for p, t in pixels) / len(pixels),
    }
    return figures | ({"miou": sum(no_background) / len(no_background)} if no_background else {})


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9), st.integers(1, 20))
def test_figures_are_those_of_an_independent_script_and_of_torchmetrics(
    seed: int, classes: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, height, width)
    predicted, true = (rng.integers(0, classes + 1, shape) for _ in range(2))
    true[rng.random(shape) < 0.2] = VOID
    true[0, 0, 0] = 0  # one pixel is known
    matrix = sum(matrix_of(p, t, classes) for p, t in zip(predicted, true, strict=True))
    found = {k: v for k, v in semantic.figures(matrix).items() if not np.isnan(v)}
    script = independent(predicted.ravel().tolist(), true.ravel().tolist(), classes)
    assert found == pytest.approx(script, abs=1e-9)

    answer, known = torch.tensor(predicted), torch.tensor(true)
    counted = MulticlassConfusionMatrix(classes + 1, ignore_index=VOID)(answer, known)
    np.testing.assert_array_equal(matrix, counted)
    for average, name in (
        ("macro", "miou_with_background"),
        ("weighted", "frequency_weighted_iou"),
    ):
        measure = MulticlassJaccardIndex(classes + 1, average=average, ignore_index=VOID)
        assert found[name] == pytest.approx(float(measure(answer, known)), abs=1e-6)


def test_a_literal_image() -> None:
    predicted = np.array([[1, 1, 0, 2]])
    true = np.array([[1, 0, 0, VOID]])
    matrix = matrix_of(predicted, true, 2)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    expected = {
        "miou": 0.5,
        "miou_with_background": 0.5,
        "frequency_weighted_iou": 0.5,
        "pixel_accuracy": 2 / 3,
    }
    assert semantic.figures(matrix) == pytest.approx(expected)
    table = semantic.confusion_table(matrix, ["chair", "sofa"])
    assert table == "true,predicted,pixels\n,,1\n,chair,1\nchair,chair,1\n"


def test_a_pixel_of_several_classes_is_of_the_smallest_prediction() -> None:
    planes = np.zeros((3, 2, 5), bool)
    planes[0] = True  # wall
    planes[1, 0, :2] = True  # picture
    planes[2, 0, 1:3] = True  # lamp, as small
    assert semantic.label_map(pack(planes), 5).tolist() == [[2, 3, 3, 1, 1], [1, 1, 1, 1, 1]]


def test_nothing_has_no_figure() -> None:
    assert all(np.isnan(list(semantic.figures(np.zeros((3, 3), np.int64)).values())))


def test_classes_that_share_a_label_cannot_be_measured() -> None:
    section = {"folder": "truth", "pattern": "{image}.npy", "palette": {}, "ignore": ()}
    for labels, expected in ((((1,), (2, 2)), True), (((1, 2), (2,)), False)):
        named = dict(zip(("chair", "sofa"), labels, strict=True))
        truth = GroundTruth.model_validate({**section, "labels": named})
        assert truth.folder == Path("truth")
        assert semantic.is_measurable(truth) == expected
