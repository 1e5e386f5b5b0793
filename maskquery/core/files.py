"""Put a file or a folder in place whole or not at all.

DVC may have linked what stands at the destination (hard link or symlink) to its cache: writing into
it would change the cache unnoticed. So nothing is ever opened for writing where it is to stand: it
is built beside, made durable, and then renamed over what was there. Where the destination is a
symlink, the link is replaced and what it points to stays as it is.
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


def file_hash(path: Path) -> str:
    """sha256, in hex, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """The folder of what can be had again, of this user and for all projects."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskquery"


def write_file(path: Path, data: bytes) -> None:
    """Make `path` hold exactly `data`; missing parent folders are created."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, tree: Any) -> None:
    """Make `path` hold `tree` as JSON that git shows line by line."""
    write_file(path, (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `path` to write to; what is written there becomes `path`.

    What killed runs left beside is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    temporary = _beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a new, empty folder beside `folder` to fill; on success it becomes `folder`.

    A folder cannot be renamed over one that holds files, so for an instant between two renames
    there is none: a kill right there leaves the stage without an output, never with half of one.
    What killed runs left beside is removed. `check` is called just before the renames; what it
    raises leaves `folder` as it is.
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
        _move_over(temporary, folder)
        _sync(folder.parent)
    finally:
        os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)


def _move_over(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`, out of whose way any folder, file or link is moved first."""
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
    """Remove what runs that were killed left; one that still builds holds a lock on its own."""
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
