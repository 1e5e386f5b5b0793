"""scores: how similar every mask is to every class -> data/scores.parquet.

Torch is loaded only for a prompt or a model that is new.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic

from retrieval import checkpoints, cli, params, score_table, tables
from retrieval.clip import stacks, texts
from retrieval.clip.similarity import Embeddings, mask_similarity
from retrieval.errors import UserError

EMBEDDINGS = Path("data/embeddings.parquet")
SCORES = Path("data/scores.parquet")

Weight = Annotated[float, pydantic.Field(ge=0)]
Prompts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]


def _not_all_zero(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise ValueError("must give some view a weight above 0")
    return weights


class ScoresParams(params.Section):
    """The views' weights; only their ratios count."""

    view_weights: Annotated[dict[str, Weight], pydantic.AfterValidator(_not_all_zero)]


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
    prompts = encode(origin["clip"]["model"], settings.classes)
    names = tuple(settings.classes)
    rows = (
        score_table.rows_of(
            stack.image, stack.ids, names, mask_similarity(stack.embeddings, weights, prompts)
        )
        for stack in stacks.read(embeddings, views)
    )
    metadata = {
        **origin,
        "view_weights": settings.scores.view_weights,
        "prompts": settings.classes,
    }
    count = score_table.write(scores, rows, names, metadata)
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


def encode(model: str, classes: Mapping[str, Sequence[str]]) -> list[Embeddings]:
    """Each class's prompts, (P, D)."""
    vectors = iter(texts.embeddings(model, [p for prompts in classes.values() for p in prompts]))
    return [np.stack([next(vectors) for _ in prompts]) for prompts in classes.values()]


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(EMBEDDINGS, SCORES, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
