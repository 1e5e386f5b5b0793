"""Files that are opened only if they are files: a pipe, a socket or a device has no end."""

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
    """Open a file to read it. It never waits: what is no file is not opened.

    Raises:
        UserError: it is a pipe, a socket, a device or a folder, or a link to one.
        OSError: it cannot be opened.
    """
    _expect_file(path, path.stat())  # asked first: to open a device may do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _expect_file(path, os.fstat(descriptor))  # it may be another by now
    except UserError:
        file.close()
        raise
    return file


def _expect_file(path: Path, status: os.stat_result) -> None:
    if kind := kind_of(status):
        raise UserError(f"{path} is not a file, but {kind}: remove it or put the file there")


def kind_of(status: os.stat_result) -> str:
    """What something is that is no file, "a pipe", say; "" for a file."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "")
