"""scores: how similar every mask is to every class, and its score -> data/scores.parquet.

Torch is loaded only for a prompt or a model that is new.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pydantic

from retrieval import checkpoints, cli, params, score_table, tables
from retrieval.clip import stacks, texts
from retrieval.clip import similarity
from retrieval.clip.similarity import Embeddings, Floats, Scoring
from retrieval.errors import UserError

EMBEDDINGS = Path("data/embeddings.parquet")
SCORES = Path("data/scores.parquet")

Weight = Annotated[float, pydantic.Field(ge=0)]
Prompts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]


def _not_all_zero(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise ValueError("must give some view a weight above 0")
    return weights


def _template(value: str) -> str:
    if value.count("{}") != 1:
        raise ValueError('must hold one {} for the prompt, such as "a photo of {}"')
    return value


Template = Annotated[str, pydantic.AfterValidator(_template)]


class ScoresParams(params.Section):
    """How scores come from embeddings.

    Attributes:
        view_weights: of each view; only their ratios count.
        templates: each prompt is put into each, and their embeddings averaged.
        prompts: of a class's prompts the "best" counts, mask by mask, or their "average".
        scoring: "cosine" is the similarity itself; "contrast" and "relevancy" compare it with that
            of the contrast prompts, see `retrieval.clip.similarity`.
        contrast: prompts for what is none of the classes.
        temperature: similarities are divided by it before a softmax, above 0.
    """

    view_weights: Annotated[dict[str, Weight], pydantic.AfterValidator(_not_all_zero)]
    templates: Annotated[tuple[Template, ...], pydantic.Field(min_length=1)]
    prompts: Literal["best", "average"]
    scoring: Scoring
    contrast: tuple[params.Text, ...]
    temperature: Annotated[float, pydantic.Field(gt=0)]

    @pydantic.model_validator(mode="after")
    def _relevant_to_something(self) -> "ScoresParams":
        if self.scoring == "relevancy" and not self.contrast:
            raise ValueError("scoring relevancy needs a prompt in scores.contrast")
        return self


class Params(params.Section):
    """What params.yaml says to this stage: `classes` maps a class to its prompts."""

    scores: ScoresParams
    classes: Annotated[dict[params.Text, Prompts], pydantic.Field(min_length=1)]


def run(embeddings: Path, scores: Path, settings: Params) -> str:
    """Write the table `scores`; the closing line.

    Raises:
        UserError: the input is missing or damaged or has other views, a prompt is too long, or a
            prompt is new and the checkpoint cannot be had.
    """
    origin = read_origin(embeddings)
    views = tuple(origin["clip"]["views"])
    weights = in_order(settings.scores.view_weights, views)
    classes, others = encode(origin["clip"]["model"], settings)
    names = tuple(settings.classes)

    def rows() -> Iterator[pa.Table]:
        for stack in stacks.read(embeddings, views):
            cosines = similarity.class_similarity(stack.embeddings, weights, classes)
            against = similarity.prompt_similarity(stack.embeddings, weights, others)
            score = score_of(settings.scores, cosines, against)
            yield score_table.rows_of(stack.image, stack.ids, names, cosines, score)

    metadata = {**origin, **settings.scores.model_dump(), "prompts": settings.classes}
    count = score_table.write(scores, rows(), names, metadata)
    return f"scores: {count // len(names)} masks, {len(names)} classes: {', '.join(names)}"


def read_origin(embeddings: Path) -> dict[str, Any]:
    """The models and settings behind the embeddings, refused if their weights are others by now."""
    metadata = tables.read_metadata(embeddings)
    try:
        clip = metadata["clip"]
        known = checkpoints.find("clip", clip["model"]).sha256 == clip["sha256"]
    except (KeyError, TypeError):
        known = False
    if not known:
        raise UserError(f"{embeddings} was made with other weights of CLIP: run `dvc repro`")
    return metadata


def in_order(weights: Mapping[str, float], views: Sequence[str]) -> list[float]:
    """The weights in the order of the views."""
    if set(weights) != set(views):
        raise UserError(
            f"scores.view_weights names {', '.join(weights) or 'no view'}; it must name the views "
            f"that were embedded (clip.views): {', '.join(views)}"
        )
    return [weights[view] for view in views]


def encode(model: str, settings: Params) -> tuple[list[Embeddings], Embeddings]:
    """Each class's prompts, (P, D), P = 1 if they are averaged; and the contrast prompts, (K, D)."""
    scores = settings.scores
    needed = scores.contrast if scores.scoring != "cosine" else ()
    prompts = [*itertools.chain(*settings.classes.values()), *needed]
    filled = [template.replace("{}", prompt) for prompt in prompts for template in scores.templates]
    vectors = texts.embeddings(model, filled)
    means = [similarity.mean_direction(v) for v in np.split(vectors, len(prompts))]
    remaining = iter(means)
    classes = [np.stack([next(remaining) for _ in own]) for own in settings.classes.values()]
    if scores.prompts == "average":
        classes = [similarity.mean_direction(own)[None] for own in classes]
    return classes, np.array(list(remaining), np.float32).reshape(-1, vectors.shape[1])


def score_of(settings: ScoresParams, cosines: Floats, others: Floats) -> Floats:
    """Cosines of one image's masks, (N, C) and (N, K), to their scores, (N, C)."""
    if settings.scoring == "cosine":
        return cosines
    score = {"contrast": similarity.contrast, "relevancy": similarity.relevancy}[settings.scoring]
    return score(cosines, others, settings.temperature)


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(EMBEDDINGS, SCORES, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
