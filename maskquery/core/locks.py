"""Locks between processes; the system releases them when a process ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from maskquery.core import console


@contextlib.contextmanager
def exclusive(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock `path`, a file that is made for it, or a folder; wait until it is free.

    Args:
        path: stays when the lock is released: removing it would let two hold it at once.
        waiting: logged if somebody else holds the lock; nothing is logged if empty.
    """
    with _open(path) as descriptor:
        if not _try_lock(descriptor, fcntl.LOCK_EX):
            if waiting:
                console.log(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def share(path: Path) -> Iterator[None]:
    """Hold the lock `path` together with others; wait while somebody holds it alone."""
    with _open(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold the lock `path` alone, without waiting: False if that cannot be."""
    with _open(path) as descriptor:
        yield _try_lock(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    if path.is_dir():
        descriptor = os.open(path, os.O_RDONLY)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
