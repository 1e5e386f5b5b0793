import numpy as np
import pytest

from maskquery.clip import texts
from maskquery.explore import scores
from maskquery.explore.scores import Settings
from maskquery.scoring import class_embeddings
from maskquery.scoring.similarity import mask_similarity
from tests.explore.conftest import Site
from tests.explore.site import SCORES

CLASSES = {"chair": ("a chair",), "table": ("a table", "a desk")}
LISTS = ("templates", "negative_prompts")


def settings(text: tuple[str, ...] = (), **changes: object) -> Settings:
    section = SCORES | changes
    section |= {key: tuple(section[key]) for key in LISTS}
    return Settings(classes=CLASSES, text=text, scores=class_embeddings.Settings(**section))


def of_classes(means: np.ndarray, wanted: Settings) -> np.ndarray:
    trusted = np.ones(len(means), np.float32)
    return scores.of_classes("tiny", means, trusted, trusted, wanted)


@pytest.fixture
def means(inside: Site) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 128)).astype(np.float32) / 12


def cosines(means: np.ndarray, *prompts: str) -> np.ndarray:
    return means.astype(np.float64) @ texts.embeddings("tiny", prompts).T


def test_scores_are_those_of_the_stage_to_the_bit(means: np.ndarray) -> None:
    prompts = [texts.embeddings("tiny", own) for own in CLASSES.values()]
    wanted = mask_similarity(means[:, None], [1.0], prompts)
    assert np.array_equal(of_classes(means, settings()), wanted)


def test_prompts_of_all_columns_are_named_once_and_compared(means: np.ndarray) -> None:
    wanted = settings(text=("a desk", "a sofa"))
    assert wanted.prompts == ("a chair", "a table", "a desk", "a sofa")
    found = scores.cosines("tiny", means, wanted.prompts, ("{}",))
    np.testing.assert_allclose(found, cosines(means, *wanted.prompts), atol=1e-6)


def test_each_line_of_a_text_is_a_column_of_its_own(means: np.ndarray) -> None:
    trusted = np.ones(len(means), np.float32)
    wanted = settings(text=("a desk", "a chair"), templates=["a photo of {}"])
    score = scores.of_lines("tiny", means, trusted, trusted, wanted)
    np.testing.assert_allclose(score, cosines(means, "a desk", "a chair"), atol=1e-6)


def test_classes_that_a_line_does_not_name_stand_against_it(means: np.ndarray) -> None:
    trusted = np.ones(len(means), np.float32)
    wanted = settings(text=("a red chair",), scoring="softmax", negative_prompts=["a wall"])
    score = scores.of_lines("tiny", means, trusted, trusted, wanted)[:, 0]
    logits = cosines(means, "a red chair", "a wall", "a table") / SCORES["temperature"]
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(score, weights[:, 0] / weights.sum(axis=1), atol=1e-4)


@pytest.mark.parametrize("scoring", ["softmax", "relevancy"])
def test_extreme_temperatures_give_numbers(means: np.ndarray, scoring: str) -> None:
    score = of_classes(means, settings(scoring=scoring, temperature=1e-4))
    assert np.isfinite(score).all()
    assert score.min() >= 0
    assert score.max() <= 1


def test_templates_and_averages_are_those_of_params(means: np.ndarray) -> None:
    wanted = settings(templates=("{}", "a photo of {}"), prompts="average")
    score = of_classes(means, wanted)[:, 1]
    directions = []
    for prompt in CLASSES["table"]:
        mean = texts.embeddings("tiny", [prompt, f"a photo of {prompt}"]).mean(axis=0)
        directions.append(mean / np.linalg.norm(mean))
    mean = np.mean(directions, axis=0)
    np.testing.assert_allclose(score, means @ (mean / np.linalg.norm(mean)), atol=1e-6)


def test_an_image_without_masks_has_no_scores(inside: Site) -> None:
    score = of_classes(np.empty((0, 128), np.float32), settings(scoring="softmax"))
    assert score.shape == (0, 2)
