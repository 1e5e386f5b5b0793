import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification as reference

from maskquery.evaluation import presence
from maskquery.evaluation.counts import ConfusionCounts


def counts(predicted: np.ndarray, true: np.ndarray, pixels: int = 100) -> ConfusionCounts:
    """Images that show a class, or are predicted to, by 7 pixels."""
    arrays = [7 * (true & predicted), 7 * (predicted & ~true), 7 * (true & ~predicted)]
    return ConfusionCounts(*(a.astype(np.int64) for a in arrays), np.full(len(true), pixels))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_figures_are_torchmetrics_where_they_have_a_value(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    scores, true = rng.integers(0, 9, images) / 8, rng.random(images) < 0.5
    predicted = scores > 0.5
    found = presence.figures(counts(predicted, true))
    answer, known = torch.tensor(predicted.astype(int)), torch.tensor(true.astype(int))
    expected = {
        "precision": reference.binary_precision(answer, known),
        "recall": reference.binary_recall(answer, known),
        "f1": reference.binary_f1_score(answer, known),
        "mcc": reference.binary_matthews_corrcoef(answer, known),
    }
    for name, value in found.items():
        if not np.isnan(value):
            assert value == pytest.approx(float(expected[name]), abs=1e-6)
    assert np.isnan(found["mcc"]) == (len(set(true)) == 1 or len(set(predicted)) == 1)
    area = presence.auroc(scores, true)
    assert np.isnan(area) == (len(set(true)) == 1)
    if not np.isnan(area):
        whole = float(reference.binary_auroc(torch.tensor(scores), known))
        assert area == pytest.approx(whole, abs=1e-6)


def test_literal_images() -> None:
    true, predicted = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    found = presence.figures(counts(predicted, true))
    assert found == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "mcc": 1 / 6})
    scores = np.array([0.9, 0.5, -1.0, 0.5, -1.0])
    assert presence.auroc(scores, true) == (2 + 1.5 + 0.5) / 6


def test_images_that_are_all_void_are_left_out() -> None:
    nothing = np.zeros(3, bool)
    assert all(np.isnan(list(presence.figures(counts(nothing, nothing, pixels=0)).values())))
