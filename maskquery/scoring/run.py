"""Every class's prompts against every mask's embeddings: scores.parquet."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pydantic

from maskquery.core import params
from maskquery.scoring import class_embeddings, mask_embeddings, provenance
from maskquery.tables import score_table

Prompts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]

Classes = Annotated[dict[params.Text, Prompts], pydantic.Field(min_length=1)]
"""The section `classes` of params.yaml: the prompts of each class."""


def write_scores(
    embeddings: Path,
    scores: Path,
    *,
    settings: class_embeddings.Settings,
    classes: Mapping[str, Sequence[str]],
    negatives: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Write the table `scores`; the closing line.

    Args:
        embeddings: a table.
        scores: a table, replaced.
        settings: how scores come from embeddings.
        classes: the prompts of each class.
        negatives: negative prompts of each class, if classes are not to stand against each other.

    Raises:
        UserError: the input is missing or damaged or has other views, a prompt is too long, or a
            prompt is new and the checkpoint cannot be had.
    """
    made_with = provenance.read(embeddings)
    views = tuple(made_with["clip"]["views"])
    how = made_with["clip"]["model"], views, settings, classes
    scorer = (
        class_embeddings.OneVsRest(*how, negatives)
        if negatives
        else class_embeddings.ClassScorer(*how)
    )
    names = tuple(classes)

    def rows() -> Iterator[pa.Table]:
        for stack in mask_embeddings.read(embeddings, views):
            columns = scorer.score(stack.embeddings, stack.predicted_iou, stack.stability_score)
            yield score_table.rows_of(stack.image, stack.ids, names, *columns)

    metadata = {**made_with, "scores": settings.model_dump(), "prompts": classes}
    count = score_table.write(scores, rows(), names, metadata)
    return f"scores: {count // len(names)} masks, {len(names)} classes: {', '.join(names)}"
