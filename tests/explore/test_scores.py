import numpy as np
import pytest

from explore import scores
from explore.scores import Settings
from retrieval.clip import texts
from retrieval.clip.similarity import mask_similarity
from tests.explore.conftest import Site

PLAIN = scores.rules("tiny", {})
CLASSES = {"chair": ("a chair",), "table": ("a table", "a desk")}


def settings(**changes: object) -> Settings:
    start = scores.initial(CLASSES, {"contrast": ("a thing",), "temperature": 0.05})
    return start.model_copy(update=changes)


def of_masks(means: np.ndarray, wanted: Settings, own: scores.Rules) -> scores.Scored:
    return scores.of_masks(means, np.ones(len(means), np.float32), wanted, own)


@pytest.fixture
def means(inside: Site) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 128)).astype(np.float32) / 12


def cosines(means: np.ndarray, *prompts: str) -> np.ndarray:
    return means.astype(np.float64) @ texts.embeddings("tiny", prompts).T


def test_scores_are_those_of_the_stage_to_the_bit(means: np.ndarray) -> None:
    scored = of_masks(means, settings(), PLAIN)
    prompts = [texts.embeddings("tiny", own) for own in CLASSES.values()]
    assert np.array_equal(scored.score, mask_similarity(means[:, None], [1.0], prompts))
    assert scored.prompts == ("a chair", "a table", "a desk")
    np.testing.assert_allclose(scored.cosines, cosines(means, *scored.prompts), atol=1e-6)


def test_a_text_is_one_more_column(means: np.ndarray) -> None:
    scored = of_masks(means, settings(text=("a desk", "a chair")), PLAIN)
    assert scored.score.shape == (30, 3)
    best = cosines(means, "a desk", "a chair").max(axis=1)
    np.testing.assert_allclose(scored.score[:, 2], best, atol=1e-6)


def test_contrast_is_the_softmax_over_classes_and_contrast_prompts(means: np.ndarray) -> None:
    score = of_masks(means, settings(scoring="contrast"), PLAIN).score
    chair, thing = cosines(means, "a chair")[:, 0], cosines(means, "a thing")[:, 0]
    table = cosines(means, "a table", "a desk").max(axis=1)
    powers = np.exp(np.stack([chair, table, thing], axis=1) / 0.05)
    np.testing.assert_allclose(score, (powers / powers.sum(axis=1, keepdims=True))[:, :2], 1e-3)


def test_relevancy_is_the_least_softmax_against_a_contrast_prompt(means: np.ndarray) -> None:
    wanted = settings(scoring="relevancy", contrast=("a thing", "stuff"))
    score = of_masks(means, wanted, PLAIN).score[:, 0]
    chair, others = cosines(means, "a chair"), cosines(means, "a thing", "stuff")
    pairs = np.exp(chair / 0.05) / (np.exp(chair / 0.05) + np.exp(others / 0.05))
    np.testing.assert_allclose(score, pairs.min(axis=1), 1e-3)


def test_extreme_temperatures_give_numbers(means: np.ndarray) -> None:
    for scoring in ("contrast", "relevancy"):
        score = of_masks(means, settings(scoring=scoring, temperature=1e-4), PLAIN).score
        assert np.isfinite(score).all()
        assert score.min() >= 0
        assert score.max() <= 1


def test_templates_and_averages_are_those_of_params(means: np.ndarray) -> None:
    rules = scores.rules("tiny", {"templates": ("{}", "a photo of {}"), "prompts": "average"})
    score = of_masks(means, settings(), rules).score[:, 1]
    directions = []
    for prompt in CLASSES["table"]:
        mean = texts.embeddings("tiny", [prompt, f"a photo of {prompt}"]).mean(axis=0)
        directions.append(mean / np.linalg.norm(mean))
    mean = np.mean(directions, axis=0)
    np.testing.assert_allclose(score, means @ (mean / np.linalg.norm(mean)), atol=1e-6)


def test_of_the_prompts_the_first_may_count_alone(means: np.ndarray) -> None:
    score = of_masks(means, settings(), scores.rules("tiny", {"prompts": "first"})).score[:, 1]
    np.testing.assert_allclose(score, cosines(means, "a table")[:, 0], atol=1e-6)


def test_what_sam_says_is_multiplied_into_the_score(means: np.ndarray) -> None:
    sure = np.linspace(-0.1, 1.2, 30).astype(np.float32)
    trust = scores.trust(sure, np.full(30, 0.5, np.float32))
    rules = scores.rules("tiny", {"quality": 2.0})
    score = scores.of_masks(means, trust, settings(), rules).score[:, 0]
    wanted = cosines(means, "a chair")[:, 0] * (np.clip(sure, 0, 1) / 2) ** 2
    np.testing.assert_allclose(score, wanted, atol=1e-6)


def test_an_image_without_masks_has_no_scores(inside: Site) -> None:
    scored = of_masks(np.empty((0, 128), np.float32), settings(scoring="contrast"), PLAIN)
    assert scored.score.shape == (0, 2)


def test_relevancy_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a contrast prompt"):
        Settings(classes=CLASSES, text=(), scoring="relevancy", contrast=(), temperature=0.1)
