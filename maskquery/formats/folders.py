"""Folders that are replaced as a whole, without ever replacing what somebody else put there."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskquery.core import files
from maskquery.core.errors import UserError

MARK = "made.json"
"""The file that says what a folder was made from; only folders that have it are replaced."""

OTHER = "give another folder"


@contextlib.contextmanager
def replacing(folder: Path, contents: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a new folder to fill; on success it becomes `folder`, with the mark in it.

    Say `expect_replaceable` before.
    """
    with files.replacing_folder(folder) as temporary:
        yield temporary
        mark(temporary, contents)


def mark(folder: Path, contents: Mapping[str, Any]) -> None:
    """Mark a folder, which is made if there is none, as one that may be replaced."""
    files.write_json(folder / MARK, contents)


def marked(folder: Path) -> dict[str, Any]:
    """What `mark` wrote there; {} if nothing of the kind is there."""
    try:
        found = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def expect_replaceable(folder: Path, images: Path) -> None:
    """Refuse a folder with other things in it, one among the images or around them, or a file.

    Raises:
        UserError: naming it.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file", OTHER)
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} is the folder that this runs in, or is around it", OTHER)
    if folder.resolve().is_relative_to(images.resolve()):
        raise UserError(
            f"{folder} is in {images}, where its pictures would be taken for images next time",
            OTHER,
        )
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise UserError(f"{folder} holds other files, which would be lost", OTHER)
        if images.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{images} would be lost with what is in {folder}", OTHER)
