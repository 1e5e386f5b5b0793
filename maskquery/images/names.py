"""Names of files: which are images, what their ids are, and which id a similar name may mean."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

from maskquery.core.errors import UserError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

OTHER_SUFFIXES = frozenset(
    {
        ".apng",
        ".arw",
        ".avif",
        ".avifs",
        ".cr2",
        ".cr3",
        ".dcm",
        ".dib",
        ".dicom",
        ".dng",
        ".eps",
        ".exr",
        ".fits",
        ".gif",
        ".hdr",
        ".heic",
        ".heics",
        ".heif",
        ".hif",
        ".icns",
        ".ico",
        ".j2c",
        ".j2k",
        ".jfi",
        ".jfif",
        ".jif",
        ".jp2",
        ".jpc",
        ".jpe",
        ".jpf",
        ".jpm",
        ".jpx",
        ".jxl",
        ".jxr",
        ".mpo",
        ".nef",
        ".nrw",
        ".orf",
        ".pam",
        ".pbm",
        ".pcx",
        ".pef",
        ".pfm",
        ".pgm",
        ".pnm",
        ".ppm",
        ".psb",
        ".psd",
        ".raf",
        ".rw2",
        ".sr2",
        ".srw",
        ".svg",
        ".tga",
        ".wdp",
        ".xcf",
    }
)
"""Suffixes of image formats that are not read; files with them are counted in a message."""


MOST_BYTES = 4096
"""The longest path on Linux."""

MOST_SHOWN = 300
"""The longest name that a message shows in full, characters."""


def inside(name: str, where: object) -> str | None:
    """A name in an archive or a bucket as a path in a folder; None if it is hidden.

    Archives and buckets may hold any name. Exports and label maps are named after ids, so an id
    must not lead out of a folder.

    >>> inside("./a/b.png", "photos.zip"), inside("a/.thumbnails/b.png", "photos.zip")
    ('a/b.png', None)

    Args:
        name: with "/" between its parts.
        where: the archive or the bucket, for messages.

    Raises:
        UserError: it is absolute, leads out of its folder, or is not valid UTF-8.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{where} holds {name!r}", "the name leads out of a folder, change it")
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


def expect_length(name: str, where: object) -> None:
    """Refuse a name in an archive that is too long for any file.

    Args:
        name: the path in the archive.
        where: the file, for messages.

    Raises:
        UserError: it is longer than `MOST_BYTES`.
    """
    size = len(name.encode(errors="surrogateescape"))
    if size > MOST_BYTES:
        raise UserError(
            f"{where} has a name of {size} bytes, more than the {MOST_BYTES} that a path may have",
            "give it a shorter one",
        )


def shorten(name: str) -> str:
    """A name for a message; of a long name, its beginning and its end."""
    return name if len(name) <= MOST_SHOWN else f"{name[:100]}...{name[-100:]}"


def is_image(name: str) -> bool:
    """Whether a file's suffix is that of an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def image_id(name: str) -> str:
    """The id of the image whose file has this path in its folder: the path without the suffix."""
    return PurePosixPath(name).with_suffix("").as_posix()


def _out_of_url(name: str) -> str:
    """The path of a URL, or the one that Label Studio's `?d=` gives."""
    if "?d=" in name:
        return name.partition("?d=")[2].partition("&")[0]
    host = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/", name)
    return name[host.end() :].partition("?")[0].partition("#")[0] if host else name


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "a URL": _out_of_url,
    "percent-encoding": unquote,
    "backslashes": lambda name: name.replace("\\", "/"),
    "Unicode normalisation": lambda name: unicodedata.normalize("NFC", name),
    "case": str.casefold,
}
"""Ways to spell one name differently, with the function that undoes each, in their order."""


@dataclass(frozen=True)
class Variant:
    """A known name that another name is a spelling of.

    Attributes:
        name: the known name.
        differs: how the two differ, such as "case" or "backslashes".
    """

    name: str
    differs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name!r}, which differs in {' and '.join(self.differs)}"


class Matcher:
    r"""Finds the known name that an unknown name is another spelling of.

    >>> print(Matcher(["kitchen/a.png", "kitchen/b.png"]).variant("Kitchen\\A.png"))
    'kitchen/a.png', which differs in backslashes and case

    Args:
        known: names, with "/" between their parts.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self._known:
            self._by_stem[_stem(_plain(name))].append(name)

    def variant(self, name: str, *, any_suffix: bool = False) -> Variant | None:
        """The known name that `name` is another spelling of; None if there is none, or several.

        Args:
            name: as somebody wrote it.
            any_suffix: whether the suffixes may differ. Ids have none.
        """
        plain = _plain(name)
        near = [other for other in self._by_stem.get(_stem(plain), ()) if other != name]
        alike = (_same, _ends, *((_ends_bare,) if any_suffix else ()))
        for relation in alike:
            meant = [other for other in near if relation(plain, _plain(other))]
            if meant:
                return Variant(meant[0], _differences(name, meant[0])) if len(meant) == 1 else None
        return None


def _plain(name: str, without: str = "") -> str:
    """A name in the spelling that all its variants share; one kind of difference may be kept."""
    for kind, spell in _SPELLINGS.items():
        if kind != without:
            name = spell(name)
    return name.strip("/")


def _stem(name: str) -> str:
    """The last part of a path, up to its first dot; all variants of a name share it."""
    return name.rpartition("/")[2].partition(".")[0]


def _bare(name: str) -> str:
    return re.sub(r"\.[^./]+$", "", name)


def _same(one: str, other: str) -> bool:
    return one == other


def _ends(one: str, other: str) -> bool:
    """Whether one of two paths is the end of the other."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _ends_bare(one: str, other: str) -> bool:
    return _ends(_bare(one), _bare(other))


def _differences(one: str, other: str) -> tuple[str, ...]:
    """How two variants of a name differ."""
    kinds = [kind for kind in _SPELLINGS if not _ends_bare(_plain(one, kind), _plain(other, kind))]
    plain = _plain(one), _plain(other)
    if plain[0].count("/") != plain[1].count("/"):
        kinds.append("folders before it")
    if not _ends(*plain):
        kinds.append("suffix")
    return tuple(kinds)
