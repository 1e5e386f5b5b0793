"""What a table says it was made with, refused if CLIP's weights are others by now."""

from pathlib import Path
from typing import Any

from retrieval import checkpoints, tables
from retrieval.errors import UserError


def read(table: Path) -> dict[str, Any]:
    """The metadata of embeddings.parquet or scores.parquet.

    Raises:
        UserError: the file is missing or damaged, or was made with other weights of CLIP.
    """
    metadata = tables.read_metadata(table)
    try:
        clip = metadata["clip"]
        current = checkpoints.find("clip", clip["model"]).sha256 == clip["sha256"]
    except (KeyError, TypeError):
        current = False
    if not current:
        raise UserError(f"{table} was made with other weights of CLIP: run `dvc repro`")
    return metadata
