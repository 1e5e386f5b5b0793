"""scores: how similar every mask is to every class, and its score -> data/scores.parquet.

Torch is loaded only for a prompt or a model that is new.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pydantic

from retrieval import cli, params, score_table
from retrieval.clip import origin, recipe, stacks

EMBEDDINGS = Path("data/embeddings.parquet")
SCORES = Path("data/scores.parquet")

Prompts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]


class Params(params.Section):
    """What params.yaml says to this stage: `classes` maps a class to its prompts."""

    scores: recipe.Settings
    classes: Annotated[dict[params.Text, Prompts], pydantic.Field(min_length=1)]


def run(
    embeddings: Path,
    scores: Path,
    settings: Params,
    rivals: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Write the table `scores`; the closing line.

    Args:
        embeddings: a table.
        scores: a table, replaced.
        settings: see there.
        rivals: contrast prompts of each class, if classes are not to stand against each other.

    Raises:
        UserError: the input is missing or damaged or has other views, a prompt is too long, or a
            prompt is new and the checkpoint cannot be had.
    """
    made_with = origin.read(embeddings)
    views = tuple(made_with["clip"]["views"])
    how = made_with["clip"]["model"], views, settings.scores, settings.classes
    own = recipe.Apart(*how, rivals) if rivals else recipe.Recipe(*how)
    names = tuple(settings.classes)

    def rows() -> Iterator[pa.Table]:
        for stack in stacks.read(embeddings, views):
            found = own.score(stack.embeddings, stack.predicted_iou, stack.stability_score)
            yield score_table.rows_of(stack.image, stack.ids, names, *found)

    metadata = {**made_with, "scores": settings.scores.model_dump(), "prompts": settings.classes}
    count = score_table.write(scores, rows(), names, metadata)
    return f"scores: {count // len(names)} masks, {len(names)} classes: {', '.join(names)}"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(EMBEDDINGS, SCORES, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
