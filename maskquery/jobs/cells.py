"""Cells of the cache: finished work on one image each, shared by all experiments.

A cell is named after everything that decides its contents (see `cache.key`), so it is never out of
date: what is no longer asked for just lies there until the cache is cleaned. It is written whole or
not at all. Its file ends with a digest of its name and its bytes: a damaged cell counts as missing,
and is computed again. That is also why it need not be synchronised to the disk: what a power cut
tears is noticed. (Programs that read .npy files or zip files do not mind the bytes at the end.)

Beside the cells stands, for each output that was assembled from them, a list of the cells it took,
named after the hash that dvc.lock has of the output. It tells which cells a commit needs.
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
"""The folder of the lists; no kind of cells may be called so."""

IN_USE = "in-use.lock"

TEMPORARY = ".tmp"
"""How the name of a cell ends that is being written."""

_DIGEST = hashlib.sha256().digest_size
_DAY = 86400.0  # seconds


class Cells:
    """The cells of one kind.

    Attributes:
        damaged: how many cells were found damaged.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.damaged = 0
        self._waiting = "waiting for another run that computes the same"

    def read(self, name: str) -> bytes | None:
        """What was written under `name`, or None: there is no such cell, or it is damaged."""
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
        """What `read` gives for the named parts of a result, but for those that have no cell."""
        payloads = {part: self.read(name) for part, name in names.items()}
        return {part: payload for part, payload in payloads.items() if payload is not None}

    def has(self, name: str) -> bool:
        """Whether there is such a cell, damaged or not; much less work than to read it."""
        return cache.cell(self.kind, name).exists()

    def write(self, name: str, payload: bytes) -> None:
        """Keep `payload` under `name`.

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
        """Remove a cell that is damaged, if it is still there.

        Raises:
            FatalError: the folder cannot be written.
        """
        with _writing():
            cache.cell(self.kind, name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Names of all cells there are; some of them may be damaged."""
        folder = cache.root() / self.kind
        found = (path for path in folder.glob("??/*") if path.suffix != TEMPORARY)
        return [path.parent.name + path.name for path in found]

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold off other processes from computing `name`, and wait for one that does.

        Read once more inside: the other process may have done it.
        """
        folder = cache.cell(self.kind, name).parent
        with _writing():
            folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(folder, self._waiting):
            self._waiting = ""  # told once
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
    """For as long as a stage runs: it alone makes `output`, and its cells are not cleaned away.

    A stage whose dvc was killed goes on alone, and would put its output in place of a later one.
    """
    place = cache.key(str(output.absolute()))
    lock = cache.root() / "locks" / f"{place[:16]}.lock"
    waiting = f"waiting for another process that makes {output}, and holds {lock}"
    with locks.exclusive(lock, waiting), locks.shared(cache.root() / IN_USE):
        yield


def record(output: Path, kind: str, names: Iterable[str]) -> None:
    """List the cells that `output`, a file or a folder, was assembled from."""
    text = "".join(f"{kind}/{name}\n" for name in names)
    files.write_file(cache.root() / OUTPUTS / output_hash(output), text.encode())


def output_hash(output: Path) -> str:
    """The hash by which dvc.lock knows a file or a folder.

    DVC's own: md5 of a file; of a folder, md5 of a JSON list of its files, with ".dir" after it.
    """
    if not output.is_dir():
        return _md5(output)
    listed = [
        {"md5": _md5(path), "relpath": path.relative_to(output).as_posix()}
        for path in output.rglob("*")
        if path.is_file()
    ]
    listed.sort(key=lambda item: item["relpath"])
    return _md5_of(json.dumps(listed).encode()) + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
