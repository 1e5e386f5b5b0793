"""Open a path only if it is a regular file: a pipe, a socket or a device has no end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from maskquery.core.errors import UserError

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. It never blocks: anything else is not opened.

    Raises:
        UserError: it is a pipe, a socket, a device or a folder, or a link to one.
        OSError: it cannot be opened.
    """
    _expect_file(path, path.stat())  # first: opening a device may have effects
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _expect_file(path, os.fstat(descriptor))  # it may have been replaced
    except UserError:
        file.close()
        raise
    return file


def _expect_file(path: Path, status: os.stat_result) -> None:
    if kind := kind_of(status):
        raise UserError(f"{path} is not a file, but {kind}", "remove it or put the file there")


def kind_of(status: os.stat_result) -> str:
    """The kind of anything but a regular file, such as "a pipe"; "" for a regular file."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "")
