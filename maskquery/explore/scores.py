"""From texts to the scores of masks, by the settings of the page: the stage's own recipe."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, get_args

import pydantic

from maskquery.core.params import Section, Text
from maskquery.scoring import class_embeddings, similarity
from maskquery.scoring.class_embeddings import ClassScorer
from maskquery.scoring.similarity import Floats

SCORINGS: tuple[str, ...] = get_args(class_embeddings.Settings.model_fields["scoring"].annotation)

Line = Annotated[Text, pydantic.StringConstraints(max_length=500)]

_MEAN = "mean"
"""The one view that the views were folded into, see `Vectors.means`."""

_encoding = threading.Lock()


class Settings(Section):
    """What the page may change.

    Attributes:
        classes: class to its prompts.
        text: prompts of no class, scored as one more; none if there are none.
        scores: how scores are made. Views were weighted when their embeddings were folded; their
            weights here change nothing.
    """

    classes: dict[Text, Annotated[tuple[Text, ...], pydantic.Field(min_length=1)]]
    text: Annotated[tuple[Line, ...], pydantic.Field(max_length=50)]
    scores: class_embeddings.Settings

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """The prompts of each column of scores: the classes', then the text's, if there is one."""
        return [*self.classes.values(), *([self.text] if self.text else [])]

    @property
    def prompts(self) -> tuple[str, ...]:
        """All prompts of all columns, each once."""
        return tuple(dict.fromkeys(prompt for own in self.columns for prompt in own))


def of_masks(
    model: str, means: Floats, predicted_iou: Floats, stability_score: Floats, settings: Settings
) -> Floats:
    """The scores of N masks for C classes, or with the settings' text for C + 1: float32.

    Args:
        model: CLIP's name.
        means: (N, D), see `Vectors.means`.
        predicted_iou: (N,) float32.
        stability_score: (N,) float32.
        settings: the page's.

    Raises:
        UserError: a text is too long, or is new and the checkpoint cannot be had.
    """
    own = _recipe(model, settings.model_dump_json())
    return own.score(means[:, None], predicted_iou, stability_score)[1]


@lru_cache(maxsize=64)
def _recipe(model: str, asked: str) -> ClassScorer:
    settings = Settings.model_validate_json(asked)
    own = settings.scores.model_copy(update={"view_weights": {_MEAN: 1.0}})
    classes = {**settings.classes, **({"": settings.text} if settings.text else {})}
    with _encoding:
        return ClassScorer(model, [_MEAN], own, classes)


def cosines(
    model: str, means: Floats, prompts: Sequence[str], templates: tuple[str, ...]
) -> Floats:
    """How similar N masks, (N, D), are to P prompts: (N, P) float32."""
    return similarity.prompt_similarity(
        means[:, None], [1.0], encoded(model, tuple(prompts), templates)
    )


@lru_cache(maxsize=64)
def encoded(model: str, prompts: tuple[str, ...], templates: tuple[str, ...]) -> Floats:
    """Prompts to (P, D) float32, each of length 1; torch is loaded for those that are new."""
    with _encoding:
        return class_embeddings.prompt_embeddings(model, prompts, templates)
