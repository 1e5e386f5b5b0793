"""Folders that a command writes, without ever replacing what somebody else put there.

A folder that a command wrote holds `made.json`: the command, and the sha256 of every file. Only the
same command replaces it, and only while it holds those files and no others: a hand-corrected label,
a note beside it or another command's results are refused by name. They are looked for when the
command starts, and once more just before the rename.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskquery.core import files
from maskquery.core.errors import UserError

MARK = "made.json"
"""The file that says who wrote a folder, and what."""

_FILES, _COMMAND, _BEFORE = "files", "command", "before"

OTHER = "give another folder"


@dataclass(frozen=True)
class Output:
    """A folder that a command writes.

    Attributes:
        folder: where it is to stand.
        command: as the user types it, "maskquery export coco"; another command's folder is refused.
        images: what the command reads; it must not lie in `folder`, nor `folder` in it.
    """

    folder: Path
    command: str
    images: Path

    def expect_replaceable(self) -> None:
        """Refuse a folder whose files would be lost, or would be taken for images.

        Raises:
            UserError: naming the folder and the first of the files.
        """
        folder, images = self.folder.resolve(), self.images.resolve()
        if folder.is_relative_to(images):
            raise UserError(
                f"{self.folder} is in {self.images}, where its pictures would be taken for images "
                "next time",
                OTHER,
            )
        if Path.cwd().resolve().is_relative_to(folder):
            raise UserError(
                f"{self.folder} is the folder that this runs in, or is around it", OTHER
            )
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder} is a file", OTHER)
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return
        if problem := self._what_would_be_lost():
            raise UserError(
                f"{self.folder} {problem}, which would be lost", f"move it away or {OTHER}"
            )
        if images.is_relative_to(folder):
            raise UserError(f"{self.images} would be lost with what is in {self.folder}", OTHER)

    def _what_would_be_lost(self) -> str:
        """What the folder holds that this command did not write; empty if nothing."""
        mark = read_mark(self.folder)
        if not mark:
            return "holds other files"
        if _COMMAND not in mark:
            return "holds the results of an earlier version"
        if mark[_COMMAND] != self.command:
            return f"holds the results of `{mark[_COMMAND]}`"
        changed = [name for name in sorted(_names(self.folder)) if self._is_foreign(name, mark)]
        if not changed:
            return ""
        first = changed[0]
        what = "has been changed" if first in mark[_FILES] else f"is not of `{self.command}`"
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        return f"holds {first!r}, which {what}{more}"

    def _is_foreign(self, name: str, mark: Mapping[str, Any]) -> bool:
        path = self.folder / name
        hashes = {mark[_FILES].get(name), mark.get(_BEFORE, {}).get(name)} - {None}
        if not hashes:
            return True
        return path.is_symlink() != ("link" in hashes) or (
            not path.is_symlink() and files.file_hash(path) not in hashes
        )

    @contextlib.contextmanager
    def replacing(self, contents: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a new folder to fill; on success it becomes `folder`, with its mark.

        Args:
            contents: what else the mark says, JSON.

        Raises:
            UserError: what was in the folder has changed meanwhile; it stays as it is.
        """
        self.expect_replaceable()
        with files.replacing_folder(self.folder, self.expect_replaceable) as temporary:
            yield temporary
            hashes = {name: _hash(temporary / name) for name in sorted(_names(temporary))}
            files.write_json(temporary / MARK, {_COMMAND: self.command, **contents, _FILES: hashes})

    @contextlib.contextmanager
    def adding(self, contents: Mapping[str, Any]) -> Iterator["Additions"]:
        """Yield what replaces single files of the folder, for results too large to write anew.

        The mark is kept up to date file by file, so that a killed command goes on where it stopped.
        """
        self.expect_replaceable()
        hashes = read_mark(self.folder).get(_FILES, {})
        additions = Additions(self, {_COMMAND: self.command, **contents}, dict(hashes))
        additions.save({})
        yield additions
        additions.save({})


@dataclass(frozen=True)
class Additions:
    """Single files of an `Output`, and their hashes."""

    output: Output
    contents: Mapping[str, Any]
    hashes: dict[str, str]

    @contextlib.contextmanager
    def replacing_file(self, name: str) -> Iterator[Path]:
        """Yield a new file to write to; what is written there becomes the file `name`."""
        with files.replacing_file(self.output.folder / name) as temporary:
            yield temporary
            before = {name: self.hashes[name]} if name in self.hashes else {}
            self.hashes[name] = files.file_hash(temporary)
            self.save(before)  # whichever of the two stands there after a kill is this command's

    def remove(self, name: str) -> None:
        """Remove a file of an earlier run."""
        (self.output.folder / name).unlink()
        del self.hashes[name]
        self.save({})

    def save(self, before: Mapping[str, str]) -> None:
        """Write the mark."""
        listed = {name: self.hashes[name] for name in sorted(self.hashes)}
        mark = {**self.contents, _FILES: listed, **({_BEFORE: dict(before)} if before else {})}
        files.write_json(self.output.folder / MARK, mark)


def read_mark(folder: Path) -> dict[str, Any]:
    """The mark of a folder; {} if there is none, or none that can be read."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) and isinstance(mark.get(_FILES, {}), dict) else {}


def _names(folder: Path) -> list[str]:
    """All files of a folder but its mark, as paths in it; an empty folder is nobody's loss."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and path != folder / MARK
    ]


def _hash(path: Path) -> str:
    return "link" if path.is_symlink() else files.file_hash(path)
