"""Scores from literal embeddings and prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from maskquery.clip import texts
from maskquery.core.errors import UserError
from maskquery.scoring import class_embeddings

X, Y, Z = np.eye(3, dtype=np.float32)
WORDS = {"a chair": X, "a stool": Y, "a table": Z, "things": (X + Y + Z) / np.sqrt(3)}
CLASSES = {"chair": ("a chair", "a stool"), "table": ("a table",)}
PLAIN: dict[str, Any] = {
    "view_weights": {"crop": 1.0},
    "templates": ("{}",),
    "prompts": "best",
    "scoring": "cosine",
    "negative_prompts": (),
    "temperature": 0.1,
    "quality": 0.0,
}
VIEWS = np.array([[X], [Y], [Z], [-X]])
IOU, STABILITY = np.array([[0.5, 1.2, 0.25, 1], [1, 1, 0.5, 0]], np.float32)


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`WORDS` in place of a model: the prompts that it was asked for."""
    prompts: list[str] = []

    def encode(model: str, new: Sequence[str]) -> texts.Embeddings:
        prompts.extend(new)
        return np.array([WORDS[prompt.removeprefix("no ")] for prompt in new], np.float32) * [
            [-1.0] if prompt.startswith("no ") else [1.0] for prompt in new
        ]

    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "_encode", encode)
    return prompts


def score(**changes: Any) -> tuple[Any, Any]:
    settings = class_embeddings.Settings.model_validate({**PLAIN, **changes})
    own = class_embeddings.ClassScorer("tiny", ["crop"], settings, CLASSES)
    return own.score(VIEWS, IOU, STABILITY)


def test_the_cosine_is_the_score_itself() -> None:
    similarity, found = score()
    np.testing.assert_allclose(similarity, [[1, 0], [1, 0], [0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(found, similarity)


def test_the_first_prompt_alone_or_their_average(asked: list[str]) -> None:
    np.testing.assert_allclose(score(prompts="first")[0][:, 0], [1, 0, 0, -1], atol=1e-6)
    assert asked == ["a chair", "a table"]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(score(prompts="average")[0][:, 0], [half, half, 0, -half], atol=1e-6)


def test_templates_are_averaged() -> None:
    # Of "a table" and its opposite nothing is left but the sign of rounding, so of three.
    found = score(templates=("{}", "{}", "no {}"))[0]
    np.testing.assert_allclose(found, score()[0], atol=1e-6)


def test_softmax_is_a_softmax_over_one_mask_s_classes_and_contrast_prompts() -> None:
    similarity, found = score(scoring="softmax", negative_prompts=("things",))
    others = (VIEWS[:, 0] @ WORDS["things"])[:, None]
    powers = np.exp(np.concatenate([similarity, others], axis=1) / 0.1)
    np.testing.assert_allclose(found, (powers / powers.sum(1, keepdims=True))[:, :2], rtol=1e-5)
    settings = class_embeddings.Settings.model_validate(
        {**PLAIN, "scoring": "softmax", "negative_prompts": ("things",)}
    )
    alone = class_embeddings.ClassScorer("tiny", ["crop"], settings, CLASSES).score(
        VIEWS[:1], IOU[:1], STABILITY[:1]
    )
    np.testing.assert_allclose(alone[1], found[:1], rtol=1e-6)  # whatever other masks there are


def test_relevancy_is_the_least_of_pairwise_softmaxes() -> None:
    similarity, found = score(scoring="relevancy", negative_prompts=("things", "no things"))
    others = VIEWS[:, 0] @ np.stack([WORDS["things"], -WORDS["things"]]).T
    each = np.exp(similarity / 0.1)[:, :, None]
    pairs = each / (each + np.exp(others / 0.1)[:, None])
    np.testing.assert_allclose(found, pairs.min(axis=2), rtol=1e-5)


def test_the_quality_is_multiplied_into_the_score() -> None:
    plain, (_, found) = score()[1], score(quality=2.0)
    trust = np.array([0.5, 1, 0.125, 0]) ** 2  # cut to 1
    np.testing.assert_allclose(found, plain * trust[:, None], atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scoring": "relevancy"}, "relevancy needs a prompt in negative_prompts"),
        ({"templates": ("a photo",)}, "must hold one {}"),
        ({"templates": ("{} and {}",)}, "must hold one {}"),
        ({"templates": ()}, "at least 1 item"),
        ({"temperature": 0.0}, "greater than or equal to 0.000001"),
        ({"quality": -1.0}, "greater than or equal to 0"),
        ({"view_weights": {"crop": 0.0}}, "must give some view a weight"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        class_embeddings.Settings.model_validate({**PLAIN, **changes})
    assert why in str(caught.value)


def test_weights_of_other_views_are_refused_before_a_prompt_is_encoded(asked: list[str]) -> None:
    settings = class_embeddings.Settings.model_validate(PLAIN)
    with pytest.raises(UserError, match=r"scores\.view_weights names crop; it must name .*masked"):
        class_embeddings.ClassScorer("tiny", ["crop", "masked"], settings, CLASSES)
    assert asked == []


@pytest.mark.parametrize("prompts", ["best", "first"])
def test_a_class_s_prompt_does_not_stand_against_itself(prompts: str) -> None:
    plain = {"scoring": "softmax", "prompts": prompts}
    twice = score(**plain, negative_prompts=("things", "a stool", "a table"))[1]
    np.testing.assert_array_equal(twice, score(**plain, negative_prompts=("things",))[1])


def test_relevancy_needs_a_prompt_that_is_no_class_s() -> None:
    with pytest.raises(UserError, match=r"scores\.negative_prompts names prompts of classes alone"):
        score(scoring="relevancy", negative_prompts=("a table",))
