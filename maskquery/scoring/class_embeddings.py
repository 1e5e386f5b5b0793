"""From embeddings of masks and from prompts to scores: the section `scores` of params.yaml."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from maskquery.clip import texts
from maskquery.core.errors import UserError
from maskquery.core.params import Section, Text
from maskquery.scoring import similarity
from maskquery.scoring.similarity import Embeddings, Floats

Weight = Annotated[float, Field(ge=0, le=1e6)]


def _not_all_zero(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise ValueError("must give some view a weight above 0")
    return weights


def _template(value: str) -> str:
    if value.count("{}") != 1:
        raise ValueError("must hold one {} for the prompt, such as 'a photo of {}'")
    return value


Template = Annotated[str, AfterValidator(_template)]


class Settings(Section):
    """How scores come from embeddings.

    Attributes:
        view_weights: of each view; only their ratios count.
        templates: each prompt is put into each, and their embeddings averaged.
        prompts: of a class's prompts the "first" counts alone, or the "best", mask by mask, or
            their "average".
        scoring: "cosine" is the similarity itself; "softmax" and "relevancy" compare it with that
            of the negative prompts; "sigmoid" is a SigLIP's own similarity, with the scale and the
            bias of its weights, and compares with nothing; see `maskquery.scoring.similarity`.
        negative_prompts: prompts for what is none of the classes; one that is a prompt of a class
            is left out.
        temperature: similarities are divided by it before a softmax.
        quality: exponent of what SAM says of a mask, multiplied into its score; 0 is without.
    """

    view_weights: Annotated[dict[str, Weight], AfterValidator(_not_all_zero)]
    templates: Annotated[tuple[Template, ...], Field(min_length=1)]
    prompts: Literal["first", "best", "average"]
    scoring: Literal["cosine", "softmax", "relevancy", "sigmoid"]
    negative_prompts: tuple[Text, ...]
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)]
    quality: Annotated[float, Field(ge=0, le=1000)]

    @model_validator(mode="after")
    def _relevant_to_something(self) -> "Settings":
        if self.scoring == "relevancy" and not self.negative_prompts:
            raise ValueError("scoring relevancy needs a prompt in negative_prompts")
        return self


class ClassScorer:
    """Scores masks for classes; torch is loaded only for a prompt or a model that is new.

    Args:
        model: of CLIP.
        views: names of the V views, in their order.
        settings: how scores come from embeddings.
        classes: the prompts of each of C classes.

    Raises:
        UserError: the weights are of other views, no prompt stands against the classes and one
            has to, a prompt is too long, or a prompt is new and the checkpoint cannot be had.
    """

    def __init__(
        self,
        model: str,
        views: Sequence[str],
        settings: Settings,
        classes: Mapping[str, Sequence[str]],
    ) -> None:
        self._settings = settings
        self._weights = in_order(settings.view_weights, views)
        prompts = set(itertools.chain(*classes.values()))
        others = [prompt for prompt in settings.negative_prompts if prompt not in prompts]
        if settings.scoring == "relevancy" and not others:
            raise UserError(
                "scores.negative_prompts names prompts of classes alone",
                "name one that is none: relevancy needs it",
            )
        if settings.prompts == "first":
            classes = {name: given[:1] for name, given in classes.items()}
        needed = others if settings.scoring in ("softmax", "relevancy") else []
        self._sigmoid = texts.sigmoid(model) if settings.scoring == "sigmoid" else None
        vectors = prompt_embeddings(
            model, [*itertools.chain(*classes.values()), *needed], settings.templates
        )
        ends = np.cumsum([len(given) for given in classes.values()])
        *class_vectors, self._negatives = np.split(vectors, ends)
        if settings.prompts == "average":
            class_vectors = [similarity.mean_direction(each)[None] for each in class_vectors]
        self._classes: list[Embeddings] = class_vectors

    def score(
        self, views: Embeddings, predicted_iou: Floats, stability_score: Floats
    ) -> tuple[Floats, Floats]:
        """The similarities and the scores of N masks, both (N, C) float32.

        Args:
            views: (N, V, D) float32, each of length 1.
            predicted_iou: (N,) float32.
            stability_score: (N,) float32.
        """
        settings = self._settings
        cosines = similarity.mask_similarity(views, self._weights, self._classes)
        score = cosines
        if self._sigmoid:
            score = similarity.sigmoid(cosines, *self._sigmoid)
        elif settings.scoring != "cosine":
            others = similarity.prompt_similarity(views, self._weights, self._negatives)
            rule = {"softmax": similarity.softmax, "relevancy": similarity.relevancy}
            score = rule[settings.scoring](cosines, others, settings.temperature)
        trust = similarity.qualities(predicted_iou, stability_score, settings.quality)
        return cosines, score * trust[:, None]


class OneVsRest:
    """Scores masks for classes that do not stand against each other, each as if it were alone.

    Args:
        model: of CLIP.
        views: names of the V views, in their order.
        settings: how scores come from embeddings; its negative prompts stand against no class.
        classes: the prompts of each of C classes.
        negatives: the negative prompts of each.

    Raises:
        UserError: as `ClassScorer`.
    """

    def __init__(
        self,
        model: str,
        views: Sequence[str],
        settings: Settings,
        classes: Mapping[str, Sequence[str]],
        negatives: Mapping[str, Sequence[str]],
    ) -> None:
        self._each = [
            ClassScorer(
                model,
                views,
                settings.model_copy(update={"negative_prompts": tuple(negatives[name])}),
                {name: prompts_},
            )
            for name, prompts_ in classes.items()
        ]

    def score(
        self, views: Embeddings, predicted_iou: Floats, stability_score: Floats
    ) -> tuple[Floats, Floats]:
        """As `ClassScorer.score`."""
        results = [scorer.score(views, predicted_iou, stability_score) for scorer in self._each]
        cosines, scores = zip(*results, strict=True)
        return np.concatenate(cosines, axis=1), np.concatenate(scores, axis=1)


def in_order(weights: Mapping[str, float], views: Sequence[str]) -> list[float]:
    """The weights in the order of the views."""
    if set(weights) != set(views):
        raise UserError(
            f"scores.view_weights names {', '.join(weights) or 'no view'}; it must name the views "
            f"that were embedded (clip.views): {', '.join(views)}"
        )
    return [weights[view] for view in views]


def prompt_embeddings(model: str, prompts: Sequence[str], templates: Sequence[str]) -> Embeddings:
    """Each of P prompts in all templates, averaged: (P, D) float32, each of length 1.

    Raises:
        UserError: a prompt is too long, or is new and the checkpoint cannot be had.
    """
    filled = [template.replace("{}", prompt) for prompt in prompts for template in templates]
    vectors = texts.embeddings(model, filled)
    if len(templates) == 1:
        return vectors
    by_prompt = vectors.reshape(len(prompts), len(templates), -1)
    return np.stack([similarity.mean_direction(each) for each in by_prompt])
