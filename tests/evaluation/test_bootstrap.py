import numpy as np
import pytest

from maskquery.evaluation import bootstrap
from maskquery.evaluation.counts import ConfusionCounts


def counts(tp: list, fn: list, fp: list | None = None) -> ConfusionCounts:
    columns = [np.array(each) for each in (tp, fp or [0] * len(tp), fn)]
    return ConfusionCounts(*columns, np.full(len(tp), 1000))


def test_intervals_are_those_of_plain_resampling() -> None:
    rng = np.random.default_rng(3)
    tp, fn = rng.integers(0, 50, 40), rng.integers(1, 50, 40)
    tp[:15] = fn[:15] = 0  # do not show the class
    ious = (tp / np.maximum(tp + fn, 1))[15:]
    low, high = [], []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        means = []
        for _ in range(1000):
            picked = draw.integers(0, 40, 40)
            shown = picked[picked >= 15] - 15
            means.append(ious[shown].mean())
        low.append(np.quantile(means, 0.025))
        high.append(np.quantile(means, 0.975))
    found = bootstrap.intervals([counts(tp.tolist(), fn.tolist())])
    expected = {"low": np.mean(low), "high": np.mean(high), "images": 25}
    assert found[0] == pytest.approx(expected, abs=0.01)
    assert found[1] == found[0]


def test_they_are_the_same_every_time_and_for_any_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    column = counts([1, 5, 9, 0, 2], [9, 5, 1, 3, 2])
    first = bootstrap.intervals([column])
    assert bootstrap.intervals([column]) == first
    monkeypatch.setattr(bootstrap, "_NUMBERS", 1)
    assert sum(len(rows) for rows in bootstrap.draws(5)) == bootstrap.DRAWS
    assert bootstrap.intervals([column]) == first


def test_images_that_are_all_alike_leave_no_doubt() -> None:
    same, absent = counts([3] * 5, [1] * 5), counts([0] * 5, [0] * 5, [5] * 5)
    found = bootstrap.intervals([same, absent])
    assert found[0] == found[2] == {"low": 0.75, "high": 0.75, "images": 5}
    assert np.isnan(list(found[1].values())).all()


def test_few_images_have_no_interval() -> None:
    few = counts([3, 1, 4, 1, 0], [1, 1, 2, 3, 0])  # four show the class
    assert np.isnan([list(each.values()) for each in bootstrap.intervals([few])]).all()
    other = counts([0, 0, 0, 0, 1], [0, 0, 0, 0, 1])
    mean = bootstrap.intervals([few, other])[2]
    assert mean["images"] == 5
    assert mean["low"] < mean["high"]
