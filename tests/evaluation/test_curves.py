import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskquery.evaluation import counts, curves
from maskquery.masks.packed import pack
from maskquery.selection.thresholds import above
from tests.support.builders import Bools

SHAPE = (5, 11)
GRID = [-0.9, -0.5, -0.25, 0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.99]


def f32(*values: float) -> curves.Scores:
    return np.array(values, np.float32)


@st.composite
def cases(draw: st.DrawFn) -> list[tuple[Bools, curves.Scores, Bools]]:
    """Images with up to six masks, many of equal scores, and a true region that may be empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0, 6))
        scores = f32(*draw(st.lists(st.sampled_from(GRID), min_size=count, max_size=count)))
        true = rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.4]))
        images.append((rng.random((count, *SHAPE)) < 0.3, scores, true))
    return images


def slow(
    images: list[tuple[Bools, curves.Scores, Bools]], threshold: float
) -> counts.ConfusionCounts:
    """The pixels of every image at one threshold, by prediction and counting."""
    found = []
    for masks, scores, true in images:
        predicted = masks[above(scores, threshold)].any(axis=0)
        found.append(counts.agreement(pack(predicted)[None], pack(true)[None], true.size))
    columns = ("tp", "fp", "fn", "pixels")
    joined = {n: np.concatenate([getattr(each, n) for each in found]) for n in columns}
    return counts.ConfusionCounts(**joined)


@given(cases())
def test_every_threshold_gives_what_predicting_and_counting_gives(
    images: list[tuple[Bools, curves.Scores, Bools]],
) -> None:
    each = [curves.image_curve(pack(masks), scores, pack(true)) for masks, scores, true in images]
    mean, together = curves.mean_image_iou(each), curves.pool(each)
    for threshold in GRID:
        direct = slow(images, threshold)
        shown = direct.true > 0
        wanted = counts.iou(direct)[shown].mean() if shown.any() else np.nan
        assert mean.at(threshold) == pytest.approx(wanted, nan_ok=True)
        tp, predicted, true = direct.tp.sum(), direct.predicted.sum(), direct.true.sum()
        if tp or true:
            assert together.iou.at(threshold) == pytest.approx(tp / (predicted + true - tp))
            assert together.recall.at(threshold) == pytest.approx(tp / true)
        precision = tp / predicted if predicted else np.nan
        assert together.precision.at(threshold) == pytest.approx(precision, nan_ok=True)


@given(cases())
def test_no_threshold_beats_the_best(images: list[tuple[Bools, curves.Scores, Bools]]) -> None:
    each = [curves.image_curve(pack(masks), scores, pack(true)) for masks, scores, true in images]
    mean = curves.mean_image_iou(each)
    threshold, value = mean.best()
    assert mean.at(threshold) == pytest.approx(value, nan_ok=True)
    if any(curve.true for curve in each):
        assert value >= max(mean.at(t) for t in np.linspace(-1, 1, 81)) - 1e-12


def test_the_best_threshold_stands_between_two_scores() -> None:
    masks = np.zeros((3, 1, 8), bool)
    masks[0, 0, :2], masks[1, 0, 2:4], masks[2, 0, 4:] = True, True, True
    true = np.zeros((1, 8), bool)
    true[0, :4] = True
    curve = curves.image_curve(pack(masks), f32(0.5, 0.75, 0.25), pack(true))
    assert curve.scores.tolist() == [0.75, 0.5, 0.25]
    assert (curve.tp.tolist(), curve.predicted.tolist(), curve.true) == ([2, 4, 4], [2, 4, 8], 4)
    mean = curves.mean_image_iou([curve])
    assert mean.values.tolist() == [0.5, 1.0, 0.5]
    assert mean.best() == (0.375, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "threshold"),
    [(0.0, 1.0, 0.5), (0.12, 0.1235, 0.12175), (-0.31, -0.29, -0.3), (0.7, 0.8999, 0.8)],
)
def test_a_threshold_has_the_fewest_decimals(low: float, high: float, threshold: float) -> None:
    assert curves.between(low, high) == threshold


@given(*[st.floats(-1, 1, width=32)] * 2)
def test_a_threshold_parts_any_two_scores(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        assert np.float32(low) <= np.float32(curves.between(low, high)) < np.float32(high)


def test_where_every_mask_is_wrong_the_best_is_to_choose_none() -> None:
    masks = np.ones((1, 1, 8), bool)
    masks[0, 0, 0] = False
    true = ~masks[0]
    mean = curves.mean_image_iou([curves.image_curve(pack(masks), f32(0.25), pack(true))])
    assert mean.best() == (0.25, 0.0)
    assert mean.at(0.25) == 0.0


def test_without_masks_there_is_no_step() -> None:
    empty = curves.image_curve(pack(np.zeros((0, *SHAPE), bool)), f32(), pack(np.ones(SHAPE, bool)))
    mean = curves.mean_image_iou([empty])
    assert (len(mean.scores), mean.at(-1), mean.best()) == (0, 0.0, (1.0, 0.0))
    assert np.isnan(curves.mean_image_iou([]).without)


@pytest.mark.parametrize(("scores", "threshold"), [((0.5, 0.25), 0.125), ((0.5, -0.5), -0.75)])
def test_below_all_scores_a_threshold_stays_where_scores_may_be(
    scores: tuple[float, ...], threshold: float
) -> None:
    masks = np.zeros((2, 1, 8), bool)
    masks[0, 0, :4], masks[1, 0, 4:] = True, True
    curve = curves.image_curve(pack(masks), f32(*scores), pack(np.ones((1, 8), bool)))
    assert curves.mean_image_iou([curve]).best() == (threshold, 1.0)
