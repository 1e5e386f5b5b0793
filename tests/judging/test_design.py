import itertools
from collections import Counter

import numpy as np
import pytest

from maskquery.judging.design import BANDS, Design, Place, design

RNG = np.random.default_rng(0)
COUNT = 150
MASKS = [(f"room-{number % 9}", number) for number in range(COUNT)]
SCORE = RNG.beta(1, 4, COUNT)
AREA = RNG.lognormal(0, 1, COUNT)
IS_YES = RNG.random(COUNT) < SCORE  # what a person would say
YES = dict(zip(MASKS, IS_YES.tolist(), strict=True))
THRESHOLD = float(np.sort(SCORE)[-21])  # 20 masks are above it


def of(seed: str = "", threshold: float = THRESHOLD) -> Design:
    return design(MASKS, SCORE, AREA, threshold, "chair", seed)


def ask(plan: Design, count: int, answered: list[Place] | None = None) -> list[Place]:
    places = list(answered or [])
    for _ in range(count):
        index = plan.next(places)
        if index is None:
            break
        places.append(plan.masks[index])
    return places


def strata(plan: Design) -> dict[Place, int]:
    return dict(zip(plan.masks, plan.stratum.tolist(), strict=True))


def test_bands_lie_around_the_threshold() -> None:
    plan = of()
    bands = {place: plan.names[stratum].split("/")[0] for place, stratum in strata(plan).items()}
    counts = Counter(bands.values())
    assert counts == {"high": 10, "above": 10, "below": 20, "low": 60, "rest": 50}
    for place, score in zip(MASKS, SCORE, strict=True):
        assert (bands[place] in ("high", "above")) == (np.float32(score) > np.float32(THRESHOLD))
    ranges = [[s for p, s in zip(MASKS, SCORE, strict=True) if bands[p] == b] for b in BANDS]
    for higher, lower in itertools.pairwise(ranges):
        assert min(higher) > max(lower)


def test_a_band_is_divided_at_its_median_area() -> None:
    plan = of()
    place_of = strata(plan)
    for name in BANDS:
        small, large = (
            [a for p, a in zip(MASKS, AREA, strict=True) if plan.names[place_of[p]] == stratum]
            for stratum in (f"{name}/small", f"{name}/large")
        )
        assert len(small) == len(large)
        assert max(small) < min(large)


def test_it_is_denser_around_the_threshold() -> None:
    plan = of()
    assert plan.probabilities().sum() == pytest.approx(1)
    assert plan.shares.sum() == pytest.approx(1)
    density = {
        plan.names[stratum].split("/")[0]: probability
        for stratum, probability in zip(plan.stratum, plan.probabilities(), strict=True)
    }
    assert density["above"] == max(density.values())
    assert density["above"] > density["below"] > density["low"]
    assert density["below"] > density["rest"] > 0


def test_every_stratum_has_an_answer_before_any_has_two() -> None:
    plan = of()
    assert sorted(strata(plan)[place] for place in ask(plan, 10)) == list(range(10))


def test_a_share_of_the_answers_is_kept_at_any_time() -> None:
    plan = of()
    places = ask(plan, 40)
    for count in range(20, 41):
        counts = np.bincount([strata(plan)[place] for place in places[:count]], minlength=10)
        np.testing.assert_allclose(counts, plan.shares * count, atol=1.01)


def test_every_mask_is_asked_about_once() -> None:
    plan = of()
    places = ask(plan, COUNT + 1)
    assert len(places) == COUNT
    assert set(places) == set(MASKS)
    assert plan.next(places) is None


def estimates(plan: Design, places: list[Place]) -> tuple[float, float]:
    """Horvitz and Thompson's: masks that are "yes", of all, and of those above the threshold."""
    stratum_of = strata(plan)
    counts = Counter(stratum_of[place] for place in places)
    weights = {place: plan.sizes[stratum_of[place]] / counts[stratum_of[place]] for place in places}
    above = {s for s, name in enumerate(plan.names) if name.startswith(("high", "above"))}
    total = sum(weight for place, weight in weights.items() if YES[place])
    selected = sum(w for place, w in weights.items() if YES[place] and stratum_of[place] in above)
    return total, selected


@pytest.mark.parametrize("count", [10, 17, 40])
def test_estimates_of_any_beginning_have_no_bias(count: int) -> None:
    plans = [of(seed=str(number)) for number in range(600)]
    samples = np.array([estimates(plan, ask(plan, count)) for plan in plans])
    is_above = np.float32(SCORE) > np.float32(THRESHOLD)
    truth = np.array([IS_YES.sum(), (IS_YES & is_above).sum()])
    error = np.abs(samples.mean(0) - truth) / (samples.std(0) / np.sqrt(len(samples)))
    assert (error < 3.5).all(), error
    # The best-scored masks alone, which a person would look at first, are another matter.
    best = np.argsort(-SCORE)[:count]
    assert abs(COUNT * IS_YES[best].mean() - truth[0]) > 20


def test_inclusion_probabilities_are_those_of_the_strata() -> None:
    times, count = 600, 30
    asked = Counter(p for n in range(times) for p in ask(of(seed=str(n)), count))
    plan = of()
    stratum_of = strata(plan)
    per_stratum = Counter(stratum_of[place] for place in ask(plan, count))
    expected = np.array([per_stratum[stratum_of[p]] / plan.sizes[stratum_of[p]] for p in MASKS])
    frequency = np.array([asked[place] / times for place in MASKS])
    deviation = np.sqrt(expected * (1 - expected) / times)
    assert (np.abs(frequency - expected) < 4.5 * deviation + 1e-9).all()


@pytest.mark.parametrize("one_sees_the_other", [True, False])
def test_two_people_s_answers_together_have_no_bias(one_sees_the_other: bool) -> None:
    samples = []
    for number in range(400):
        first, second = of(seed=f"a{number}"), of(seed=f"b{number}")
        places = ask(first, 15)
        if one_sees_the_other:
            places = ask(second, 15, places)
            assert len(set(places)) == 30
        else:
            places = list({*places, *ask(second, 15)})
        samples.append(estimates(first, places))
    totals = np.array(samples)[:, 0]
    error = abs(totals.mean() - IS_YES.sum()) / (totals.std() / np.sqrt(len(totals)))
    assert error < 3.5


def test_the_order_is_that_of_seed_and_class_alone() -> None:
    reversed_ = design(MASKS[::-1], SCORE[::-1], AREA[::-1], THRESHOLD, "chair")
    assert ask(reversed_, 50) == ask(of(), 50)
    assert ask(design(MASKS, SCORE, AREA, THRESHOLD, "table"), 50) != ask(of(), 50)
    assert ask(of(seed="b"), 50) != ask(of(), 50)


def test_a_skipped_mask_is_replaced_by_the_next_of_its_stratum() -> None:
    plan = of()
    places = ask(plan, 20)
    skipped = places[-1]
    index = plan.next(places[:-1], [skipped])
    assert index is not None
    assert plan.masks[index] != skipped
    assert strata(plan)[plan.masks[index]] == strata(plan)[skipped]


def test_answers_about_masks_that_are_gone_do_not_count() -> None:
    plan = of()
    assert plan.next([("gone", 1)]) == plan.next([])


@pytest.mark.parametrize("threshold", [-1.0, 1.0])
def test_thresholds_beyond_all_scores(threshold: float) -> None:
    plan = of(threshold=threshold)
    assert set(ask(plan, COUNT)) == set(MASKS)
    assert plan.probabilities().sum() == pytest.approx(1)


def test_few_masks_and_equal_scores() -> None:
    assert design([], [], [], 0.5, "chair").next([]) is None
    one = design([("a", 1)], [0.3], [4], 0.5, "chair")
    assert one.next([]) == 0
    assert one.probabilities().tolist() == [1]
    equal = design(MASKS, np.full(COUNT, 0.3), np.ones(COUNT), 0.3, "chair")
    assert len(set(ask(equal, COUNT))) == COUNT


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 masks, 2 scores, 1 areas"):
        design([("a", 1)], [0.1, 0.2], [1], 0.5, "chair")
    with pytest.raises(ValueError, match="1 masks"):
        design([("a", 1)] * 2, [0.1, 0.2], [1, 1], 0.5, "chair")
