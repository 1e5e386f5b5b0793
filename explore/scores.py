"""From texts to the scores of masks, by the settings of the page: as the stage `scores` has it.

All that the explorer knows of how scores are made stands here and in `Vectors`. `scores` in
params.yaml gives what the page starts with; keys that are not there have their neutral value, so
that it is the pipeline's own score that is shown first.
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from retrieval.clip import texts
from retrieval.params import Section, Text

Floats = npt.NDArray[np.float32]

Scoring = Literal["cosine", "contrast", "relevancy"]
SCORINGS: tuple[Scoring, ...] = ("cosine", "contrast", "relevancy")

Line = Annotated[Text, pydantic.StringConstraints(max_length=500)]
Lines = Annotated[tuple[Line, ...], pydantic.Field(max_length=50)]

_encoding = threading.Lock()


class Settings(Section):
    """What the page may change.

    Attributes:
        classes: class to its prompts.
        text: prompts of no class, scored as one more; none if there are none.
        scoring: "cosine" is the similarity itself; "contrast" and "relevancy" compare it.
        contrast: prompts for what is none of the classes.
        temperature: similarities are divided by it before a softmax.
    """

    classes: dict[Line, Annotated[Lines, pydantic.Field(min_length=1)]]
    text: Lines
    scoring: Scoring
    contrast: Lines
    temperature: Annotated[float, pydantic.Field(gt=0)]

    @pydantic.model_validator(mode="after")
    def _relevant_to_something(self) -> "Settings":
        if self.scoring == "relevancy" and not self.contrast:
            raise ValueError("scoring relevancy needs a contrast prompt")
        return self

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """The prompts of each column of scores: the classes', then the text's, if there is one."""
        return [*self.classes.values(), *([self.text] if self.text else [])]


@dataclass(frozen=True)
class Rules:
    """What params.yaml alone decides.

    Attributes:
        model: CLIP's name.
        templates: each prompt is put into each, and their embeddings averaged.
        prompts: of a class's prompts the "first" counts alone, or the "best", mask by mask, or
            their "average".
        quality: exponent of what SAM says of a mask, multiplied into its score; 0 is without.
    """

    model: str
    templates: tuple[str, ...]
    prompts: str
    quality: float


@dataclass(frozen=True)
class Scored:
    """N masks.

    Attributes:
        score: (N, C) float32, what a threshold is compared with.
        prompts: P of them, each once.
        cosines: (N, P) float32.
    """

    score: Floats
    prompts: tuple[str, ...]
    cosines: Floats


def initial(classes: Mapping[str, tuple[str, ...]], scores: Mapping[str, Any]) -> Settings:
    """What params.yaml says: its `classes` and its section `scores`."""
    return Settings(
        classes=dict(classes),
        text=(),
        scoring=scores.get("scoring", "cosine"),
        contrast=scores.get("contrast", ()),
        temperature=scores.get("temperature", 0.01),
    )


def rules(model: str, scores: Mapping[str, Any]) -> Rules:
    """What params.yaml says in its section `scores`."""
    return Rules(
        model,
        templates=scores.get("templates", ("{}",)),
        prompts=scores.get("prompts", "best"),
        quality=scores.get("quality", 0.0),
    )


def of_masks(means: Floats, trust: Floats, settings: Settings, own: Rules) -> Scored:
    """The scores of N masks.

    Args:
        means: (N, D), see `Vectors.means`.
        trust: (N,), what SAM says of the masks, see `trust`.
        settings: the page's.
        own: those of params.yaml.

    Raises:
        UserError: a text is too long, or is new and the checkpoint cannot be had.
    """
    prompts = tuple(dict.fromkeys(itertools.chain(*settings.columns)))
    needed = settings.contrast if settings.scoring != "cosine" else ()
    # From columns of the same prompts the same product as the stage's, to the bit.
    similarity = np.stack([_similarity(means, own, one) for one in settings.columns], axis=1)
    others = _cosines(means, encoded(own, needed)) if needed else similarity[:, :0]
    score = similarity
    if settings.scoring == "contrast":
        score = contrast(similarity, others, settings.temperature)
    elif settings.scoring == "relevancy":
        score = relevancy(similarity, others, settings.temperature)
    score = score * (trust ** np.float32(own.quality))[:, None]
    return Scored(score, prompts, _cosines(means, encoded(own, prompts)))


def trust(predicted_iou: Floats, stability_score: Floats) -> Floats:
    """The product of what SAM says of N masks, each cut to 0 to 1: (N,) float32."""
    product: Floats = np.clip(predicted_iou, 0, 1) * np.clip(stability_score, 0, 1)
    return product


def _similarity(means: Floats, own: Rules, prompts: Sequence[str]) -> Floats:
    """Of N masks to one class, (N,)."""
    vectors = encoded(own, tuple(prompts[:1] if own.prompts == "first" else prompts))
    if own.prompts == "average":
        vectors = mean_direction(vectors)[None]
    best: Floats = _cosines(means, vectors).max(axis=1)
    return best


def _cosines(means: Floats, vectors: Floats) -> Floats:
    cosines: Floats = np.clip(means @ vectors.T, -1, 1)
    return cosines


@lru_cache(maxsize=1024)
def encoded(own: Rules, prompts: tuple[str, ...]) -> Floats:
    """Prompts to (P, D) float32, each of length 1; torch is loaded for those that are new."""
    filled = [each.replace("{}", prompt) for prompt in prompts for each in own.templates]
    with _encoding:
        vectors = texts.embeddings(own.model, filled)
    if len(own.templates) == 1:
        return vectors
    return np.stack([mean_direction(each) for each in np.split(vectors, len(prompts))])


def mean_direction(embeddings: Floats) -> Floats:
    """(P, D) embeddings to the (D,) of length 1 that points to their mean."""
    mean = embeddings.mean(axis=0)
    direction: Floats = mean / np.linalg.norm(mean)
    return direction


def contrast(similarity: Floats, others: Floats, temperature: float) -> Floats:
    """Softmax over a mask's classes and contrast prompts: (N, C) float32, 0 to 1.

    Args:
        similarity: (N, C) of the classes.
        others: (N, K) of the contrast prompts; K may be 0.
        temperature: similarities are divided by it.
    """
    logits = np.concatenate([similarity, others], axis=1) / np.float32(temperature)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers[:, : similarity.shape[1]] / powers.sum(axis=1, keepdims=True)
    return shares


def relevancy(similarity: Floats, others: Floats, temperature: float) -> Floats:
    """The least, over the contrast prompts, of the softmax of class and prompt: (N, C), 0 to 1.

    Source: LERF, Kerr et al. 2023, section 3.4 (https://arxiv.org/abs/2303.09553).

    Args:
        similarity: (N, C) of the classes.
        others: (N, K) of the contrast prompts, K at least 1.
        temperature: similarities are divided by it.
    """
    margin = (similarity - others.max(axis=1, keepdims=True)) / np.float32(temperature)
    with np.errstate(over="ignore"):  # to 0
        shares: Floats = 1 / (1 + np.exp(-margin))
    return shares
