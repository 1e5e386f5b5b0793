"""Checkpoints as if they were published: any file, with its hash in the table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from maskquery.core.files import file_hash
from maskquery.models import checkpoints
from maskquery.models.checkpoints import Checkpoint, Kind

Publish = Callable[[str, Path], None]

NO_WEIGHTS = pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 and nothing more", b"<html>404</html>"]
)
"""Files that hold the weights of no model."""


def publisher(kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """What takes a file in `folder` for the checkpoint of a model."""
    monkeypatch.setattr(checkpoints, "SHIPPED", folder)

    def publish(model: str, path: Path) -> None:
        entry = Checkpoint(kind, model, path.name, file_hash(path), None)
        monkeypatch.setattr(checkpoints, "CHECKPOINTS", (entry,))

    return publish
