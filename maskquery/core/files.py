"""Replace a file or a folder atomically: a reader sees the old one or the new one.

The destination may be a link to DVC's cache (hard link or symlink), which a write into it would
change unnoticed. So no destination is opened for writing: the new file or folder is built beside
it, synchronised to the disk, and renamed over it. If the destination is a symlink, the link is
replaced, and its target stays as it is.

A stage whose dvc was killed replaces nothing, see `parents`.
"""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from maskquery.core import parents


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """The user's cache folder of maskquery, for all projects: $XDG_CACHE_HOME/maskquery."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskquery"


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` by a file of exactly `data`; missing parent folders are created."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, tree: Any) -> None:
    """Replace `path` by `tree` as JSON, indented, so that git shows changes by line."""
    write_file(path, (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `path`; after the block it replaces `path`.

    Temporary files of killed runs are removed.

    >>> with replacing_file(Path("note.txt")) as temporary:
    ...     _ = temporary.write_text("done")
    >>> Path("note.txt").read_text()
    'done'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    temporary = _beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
        _sync(temporary)
        parents.expect_dvc()
        temporary.replace(path)
        _sync(path.parent)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a new, empty folder beside `folder`; after the block it replaces `folder`.

    A folder cannot be renamed over one that has files, so between two renames there is none for an
    instant: a run that is killed there leaves no output, but never half of one. Temporary folders
    of killed runs are removed.

    Args:
        folder: to replace.
        check: called before the renames; if it raises an error, `folder` stays as it is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder)
    temporary = _beside(folder)
    temporary.mkdir()
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
        for path in sorted(temporary.rglob("*")):
            _sync(path)
        _sync(temporary)
        check()
        parents.expect_dvc()
        _move_over(temporary, folder)
        _sync(folder.parent)
    finally:
        os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)


def _move_over(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; a folder, file or link that is there is moved away first."""
    old = _beside(folder)
    if os.path.lexists(folder):
        folder.rename(old)
    temporary.rename(folder)
    if old.is_symlink() or old.is_file():
        old.unlink()
    elif old.is_dir():
        shutil.rmtree(old)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _clear_leftovers(path: Path) -> None:
    """Remove temporary files of killed runs; those of live runs are locked."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
            finally:
                os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
