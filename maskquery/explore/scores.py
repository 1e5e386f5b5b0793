"""From texts to the scores of masks, by the settings of the page: as the stage and `find` do it."""

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Self, get_args

import numpy as np
import pydantic
from pydantic import AfterValidator, Field, StringConstraints

from maskquery.core.errors import UserError
from maskquery.core.params import Section, Text
from maskquery.finding import asking
from maskquery.scoring import class_embeddings, similarity
from maskquery.scoring.class_embeddings import ClassScorer, OneVsRest
from maskquery.scoring.similarity import Floats

SCORINGS: tuple[str, ...] = get_args(class_embeddings.Settings.model_fields["scoring"].annotation)

MAX_CLASSES, MAX_PROMPTS, MAX_LINES = 2_000, 500, 50
"""Classes, prompts of a class, and lines of a text."""
MAX_TEXT = 1_000
"""Letters of a name, prompt or template."""
MAX_FILLED = 20_000
"""Texts for CLIP's text encoder: all prompts in all templates."""

Line = Annotated[Text, StringConstraints(max_length=500)]
Short = Annotated[Text, StringConstraints(max_length=MAX_TEXT)]
Prompts = Annotated[tuple[Short, ...], Field(min_length=1, max_length=MAX_PROMPTS)]


def _expect_bounds(settings: class_embeddings.Settings) -> class_embeddings.Settings:
    """Refuse more texts, and longer ones, than can be encoded at once."""
    for key in ("templates", "negative_prompts"):
        texts = getattr(settings, key)
        if len(texts) > MAX_PROMPTS or any(len(text) > MAX_TEXT for text in texts):
            raise ValueError(f"{key} must be {MAX_PROMPTS} texts of {MAX_TEXT} letters at most")
    return settings


_MEAN = "mean"
"""The one view that the views were folded into, see `Vectors.means`."""

_encoding = threading.Lock()


class Settings(Section):
    """What the page may change.

    Attributes:
        classes: class to its prompts.
        text: lines of no class, each scored as `find` scores it; together one more column; none if
            there are none.
        scores: how scores are made. Views were weighted when their embeddings were folded; their
            weights here change nothing.
    """

    classes: Annotated[dict[Short, Prompts], Field(min_length=1, max_length=MAX_CLASSES)]
    text: Annotated[tuple[Line, ...], Field(max_length=MAX_LINES)]
    scores: Annotated[class_embeddings.Settings, AfterValidator(_expect_bounds)]

    @pydantic.model_validator(mode="after")
    def _not_too_many(self) -> Self:
        prompts = sum(map(len, self.classes.values())) + len(self.scores.negative_prompts)
        if prompts * len(self.scores.templates) > MAX_FILLED:
            raise ValueError(f"all prompts in all templates are more than {MAX_FILLED} texts")
        return self

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """The prompts of each column of scores: the classes', then the text's, if there is one."""
        return [*self.classes.values(), *([self.text] if self.text else [])]

    @property
    def class_prompts(self) -> tuple[str, ...]:
        """All prompts of all classes, each once."""
        return _each_once(prompt for prompts in self.classes.values() for prompt in prompts)

    @property
    def prompts(self) -> tuple[str, ...]:
        """All prompts of all columns, each once: the classes', then the text's lines."""
        return _each_once((*self.class_prompts, *self.text))


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def of_classes(
    model: str, means: Floats, predicted_iou: Floats, stability_score: Floats, settings: Settings
) -> Floats:
    """The scores of N masks for C classes: (N, C) float32, as the stage `scores` gives them.

    Args:
        model: CLIP's name.
        means: (N, D), see `Vectors.means`.
        predicted_iou: (N,) float32.
        stability_score: (N,) float32.
        settings: the page's.

    Raises:
        UserError: a text is too long, or is new and the checkpoint cannot be had; or the settings
            give scores that are no numbers.
    """
    scorer = _class_scorer(model, settings.model_copy(update={"text": ()}).model_dump_json())
    return _finite(scorer.score(means[:, None], predicted_iou, stability_score)[1])


def of_lines(
    model: str, means: Floats, predicted_iou: Floats, stability_score: Floats, settings: Settings
) -> Floats:
    """The scores of N masks for the L lines of the text: (N, L) float32, as `find` gives them.

    Arguments and errors are those of `of_classes`.
    """
    scorer = _line_scorer(model, settings.model_dump_json())
    return _finite(scorer.score(means[:, None], predicted_iou, stability_score)[1])


def _finite(score: Floats) -> Floats:
    if not np.isfinite(score).all():
        raise UserError(
            "with these settings scores are no finite numbers",
            "choose scores.temperature and scores.quality nearer to 1",
        )
    return score


@lru_cache(maxsize=64)
def _class_scorer(model: str, asked: str) -> ClassScorer:
    settings = Settings.model_validate_json(asked)
    with _encoding:
        return ClassScorer(model, [_MEAN], _of_mean(settings), settings.classes)


@lru_cache(maxsize=64)
def _line_scorer(model: str, asked: str) -> OneVsRest:
    settings = Settings.model_validate_json(asked)
    document = settings.model_dump(include={"classes", "scores"})
    negatives = {line: asking.against(document, line) for line in settings.text}
    alone = _of_mean(settings).model_copy(update={"templates": ("{}",), "prompts": "best"})
    with _encoding:
        return OneVsRest(model, [_MEAN], alone, {line: [line] for line in negatives}, negatives)


def _of_mean(settings: Settings) -> class_embeddings.Settings:
    return settings.scores.model_copy(update={"view_weights": {_MEAN: 1.0}})


def cosines(
    model: str, means: Floats, prompts: Sequence[str], templates: tuple[str, ...]
) -> Floats:
    """How similar N masks, (N, D), are to P prompts: (N, P) float32."""
    return similarity.prompt_similarity(
        means[:, None], [1.0], encode(model, tuple(prompts), templates)
    )


@lru_cache(maxsize=64)
def encode(model: str, prompts: tuple[str, ...], templates: tuple[str, ...]) -> Floats:
    """Prompts to (P, D) float32, each of length 1; torch is loaded for those that are new."""
    with _encoding:
        return class_embeddings.prompt_embeddings(model, prompts, templates)
