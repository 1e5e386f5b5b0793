"""Names of files in a folder, an archive or a bucket: which are images, and what their ids are."""

import os
from pathlib import PurePosixPath

from maskquery.core.errors import UserError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

OTHER_SUFFIXES = frozenset(
    {".arw", ".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".nef"}
)
"""Of pictures that somebody may think are read."""


def inside(name: str, where: object) -> str | None:
    """A name as a path in a folder, "a/b.png"; None if it is hidden, or in a hidden folder.

    Loose files have such names anyway. Archives and buckets hold whatever somebody wrote there, and
    ids, which exports and label maps are named after, must not lead anywhere.

    Args:
        name: with "/" between its parts.
        where: the archive or the bucket, for messages.

    Raises:
        UserError: it is absolute, leads out of its folder, or is not valid UTF-8.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{where} holds {name!r}: the name leads out of a folder, change it")
    if any(part.startswith(".") for part in path.parts):
        return None
    expect_text(path.as_posix(), where)
    return path.as_posix()


def expect_text(name: str, where: object) -> None:
    """Refuse a name that DVC and Parquet cannot hold.

    Raises:
        UserError: it is not valid UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(f"{where}/{name}").decode(errors="backslashreplace")
        raise UserError(f"{shown}: the name is not valid UTF-8", "rename the file") from None


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def image_id(name: str) -> str:
    """The id of the image whose file has this path in its folder: the path without the suffix."""
    return PurePosixPath(name).with_suffix("").as_posix()
