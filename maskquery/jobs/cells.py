"""The cells of the cache of finished work: results of single images, shared by all experiments.

The name of a cell is a hash of everything that its content depends on (see `cache.key`), so it is
never out of date; a cell that is not needed any more stays until the cache is cleaned. Cells are
written atomically. A cell's file ends with a digest of its name and its content: a damaged cell
counts as missing, and is computed again. So cells need not be synchronised to the disk: one that
is torn by a power failure is noticed. (Programs that read .npy or zip files ignore the digest.)

For each output that was assembled from cells there is a list of them, whose name is the hash of the
output in dvc.lock. It tells which cells a commit needs.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from maskquery.core import files, locks
from maskquery.core.errors import FatalError
from maskquery.jobs import cache

OUTPUTS = "outputs"
"""The folder of the lists; no kind of cells may have this name."""

PROJECTS = "projects"
"""The folder with a file for each project that has used the cache: its path; no kind either."""

IN_USE = "in-use.lock"

TEMPORARY = ".tmp"
"""The suffix of a cell that is being written."""

_DIGEST = hashlib.sha256().digest_size
_DAY = 86400.0  # seconds


class Cells:
    """The cells of one kind.

    Attributes:
        damaged: how many damaged cells were read.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.damaged = 0
        self._waiting = "waiting for another run that computes the same"

    def read(self, name: str) -> bytes | None:
        """The content of a cell; None if there is no such cell, or it is damaged."""
        path = cache.cell(self.kind, name)
        try:
            data = path.read_bytes()
            if path.stat().st_mtime < time.time() - _DAY:
                with contextlib.suppress(OSError):  # a cell of another user's
                    os.utime(path)  # its age is the time since its last use
        except OSError:
            return None
        payload = data[:-_DIGEST]
        if data[-_DIGEST:] != _digest(name, payload):
            self.damaged += 1
            return None
        return payload

    def read_parts(self, names: Mapping[str, str]) -> dict[str, bytes]:
        """The content of several cells, by part of a result; parts without a cell are left out."""
        payloads = {part: self.read(name) for part, name in names.items()}
        return {part: payload for part, payload in payloads.items() if payload is not None}

    def has(self, name: str) -> bool:
        """Whether there is such a cell, damaged or not; it is not read."""
        return cache.cell(self.kind, name).exists()

    def write(self, name: str, payload: bytes) -> None:
        """Write a cell.

        Raises:
            FatalError: the file cannot be written.
        """
        path = cache.cell(self.kind, name)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY}")
        with _writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(payload)
                    file.write(_digest(name, payload))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a damaged cell, if it is still there.

        Raises:
            FatalError: the folder cannot be written.
        """
        with _writing():
            cache.cell(self.kind, name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The names of all cells; some of them may be damaged."""
        folder = cache.root() / self.kind
        paths = (path for path in folder.glob("??/*") if path.suffix != TEMPORARY)
        return [path.parent.name + path.name for path in paths]

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Lock the computation of a cell, and wait for a process that holds the lock.

        The caller reads the cell again inside the block: the other process may have written it.
        """
        folder = cache.cell(self.kind, name).parent
        with _writing():
            folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(folder, self._waiting):
            self._waiting = ""  # logged once
            yield


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FatalError(
            f"cannot write into {cache.root()} ({error.strerror})",
            "free some space or repair the folder, then run `dvc repro`; what is done is kept",
        ) from None


def _digest(name: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(payload)
    return digest.digest()


@contextlib.contextmanager
def exclusive_output(output: Path) -> Iterator[None]:
    """Lock `output` against other processes, and all cells against cleaning, while a stage runs.

    A stage whose dvc was killed continues, and could replace the output of a later run.
    """
    place = cache.key(str(output.absolute()))
    lock = cache.root() / "locks" / f"{place[:16]}.lock"
    waiting = f"waiting for another process that makes {output}, and holds {lock}"
    with locks.exclusive(lock, waiting), locks.share(cache.root() / IN_USE):
        _register_project()
        yield


def _register_project() -> None:
    """Note that this project uses the cache: what its dvc.lock names is needed, too."""
    if project := cache.project():
        path = cache.root() / PROJECTS / cache.key(str(project.absolute()))[:16]
        if not path.exists():
            files.write_file(path, f"{project.absolute()}\n".encode())


def record(output: Path, kind: str, names: Iterable[str]) -> None:
    """Write the list of the cells that `output`, a file or a folder, was assembled from."""
    text = "".join(f"{kind}/{name}\n" for name in names)
    files.write_file(cache.root() / OUTPUTS / output_hash(output), text.encode())


def output_hash(output: Path) -> str:
    """The hash of a file or a folder in dvc.lock.

    For a file its md5; for a folder the md5 of a JSON list of its files, followed by ".dir".
    """
    if not output.is_dir():
        return _md5(output)
    files_of_folder = [
        {"md5": _md5(path), "relpath": path.relative_to(output).as_posix()}
        for path in output.rglob("*")
        if path.is_file()
    ]
    files_of_folder.sort(key=lambda item: item["relpath"])
    return _md5_of(json.dumps(files_of_folder).encode()) + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
