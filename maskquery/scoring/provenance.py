"""What a table says it was made with, refused if CLIP's weights are others by now."""

from pathlib import Path
from typing import Any

from maskquery.core.errors import UserError
from maskquery.models import checkpoints
from maskquery.tables import parquet


def read(table: Path) -> dict[str, Any]:
    """The metadata of embeddings.parquet or scores.parquet.

    Raises:
        UserError: the file is missing or damaged, or was made with other weights of CLIP.
    """
    metadata = parquet.read_metadata(table)
    try:
        clip = metadata["clip"]
        current = checkpoints.find("clip", clip["model"]).sha256 == clip["sha256"]
    except (KeyError, TypeError):
        current = False
    if not current:
        raise UserError(f"{table} was made with other weights of CLIP", "run `dvc repro`")
    return metadata
