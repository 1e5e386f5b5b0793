"""Read single files of .zip and .tar archives.

An archive's list of files is read once. It has the offset of each file, so that any thread, process
or machine that sees the archive can read a file without the list.
"""

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maskquery.core.errors import UserError
from maskquery.images import names, regular

SUFFIXES = (".tar", ".zip")
COMPRESSED = (".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tbz2", ".tgz", ".txz")
"""A single file of such an archive cannot be read without all files before it."""

_LOCAL = struct.Struct("<4s22xHH")  # of a zip entry's own header: mark, lengths of name and extra
_LOCAL_MARK = b"PK\x03\x04"
_ENCRYPTED = 0x1
_BLOCK = 512  # bytes of a tar's header
_PART = 2**20


@dataclass(frozen=True)
class TarMember:
    """A file in a .tar archive.

    Attributes:
        archive: the archive.
        name: the file's path in it, with "/".
        offset: of its first byte.
        size: bytes.
    """

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{names.shorten(self.name)}"

    def read_bytes(self) -> bytes:
        """Read the file.

        Raises:
            UserError: the archive is damaged.
            OSError: the archive cannot be read.
        """
        with regular.open_file(self.archive) as archive:
            return _read(archive.fileno(), self.offset, self.size, self)


@dataclass(frozen=True)
class ZipMember:
    """A file in a .zip archive.

    Attributes:
        archive, name, size: as those of `TarMember`.
        offset: of the header before its bytes.
        stored_size: size in the archive, bytes.
        method: of compression.
        crc: CRC-32.
        encrypted: whether it is.
    """

    archive: Path
    name: str
    offset: int
    size: int
    stored_size: int
    method: int
    crc: int
    encrypted: bool

    __str__ = TarMember.__str__

    def read_bytes(self) -> bytes:
        """As `TarMember.read_bytes`; memory is bounded by the size in the list of files."""
        if self.encrypted or self.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            how = "encrypted" if self.encrypted else "compressed in a way that is not read here"
            raise UserError(f"{self} is {how}", "pack it with `maskquery pack`")
        with regular.open_file(self.archive) as archive:
            header = _read(archive.fileno(), self.offset, _LOCAL.size, self)
            mark, name, extra = _LOCAL.unpack(header)
            start = self.offset + _LOCAL.size + name + extra
            data = _read(archive.fileno(), start, self.stored_size, self)
        if self.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
            except zlib.error as error:
                raise _damage_error(self, error) from None
        if mark != _LOCAL_MARK or len(data) != self.size or zlib.crc32(data) != self.crc:
            raise _damage_error(self, "its checksum is wrong")
        return data


Member = TarMember | ZipMember


def _read(descriptor: int, offset: int, size: int, member: Member) -> bytes:
    """Read `size` bytes; no more memory is allocated than the archive has bytes."""
    size = min(size, max(0, os.fstat(descriptor).st_size - offset) + 1)
    parts, missing = [], size
    while missing and (part := os.pread(descriptor, missing, offset + size - missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise _damage_error(member, "the archive ends before it does")
    return b"".join(parts)


def _damage_error(member: Member, why: object) -> UserError:
    return UserError(f"{member} cannot be read ({why})", f"replace {member.archive}")


def is_archive(path: Path) -> bool:
    """Whether a file's suffix is that of an archive.

    Raises:
        UserError: it is an archive whose files cannot be read one by one.
    """
    if path.name.lower().endswith(COMPRESSED):
        raise UserError(
            f"{path} is compressed as a whole, so that no image can be read by itself",
            "unpack it, and pack the folder with `maskquery pack`",
        )
    return path.suffix.lower() in SUFFIXES


def members(path: Path) -> Iterator[Member]:
    """The files in an archive, except hidden ones, in the archive's order.

    Raises:
        UserError: the archive is damaged or incomplete, a name leads out of it, or it holds a link
            or anything else that is not a regular file.
    """
    try:
        yield from _zip(path) if path.suffix.lower() == ".zip" else _tar(path)
    except UnicodeDecodeError:
        raise UserError(f"{path} holds a name that is not valid UTF-8", "pack it again") from None
    except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile,
            NotImplementedError, struct.error, OverflowError, RecursionError) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as an archive ({reason})", "replace it") from None


def _zip(path: Path) -> Iterator[Member]:
    # Names are read as UTF-8 even if they are not marked as such; others are refused.
    with (
        regular.open_file(path) as file,
        zipfile.ZipFile(file, metadata_encoding="utf-8") as archive,
    ):
        _expect_beginning(file, archive)
        for entry in archive.infolist():
            name = names.inside(entry.filename, path)
            if name is None or entry.is_dir():
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            _expect_file(path, name, kind in (0, stat.S_IFREG))
            yield ZipMember(
                path,
                name,
                entry.header_offset,
                entry.file_size,
                entry.compress_size,
                entry.compress_type,
                entry.CRC,
                bool(entry.flag_bits & _ENCRYPTED),
            )


def _tar(path: Path) -> Iterator[Member]:
    with (
        regular.open_file(path) as file,
        tarfile.open(
            fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive,
    ):
        for entry in archive:
            name = names.inside(entry.name, path)
            if name is None or entry.isdir():
                continue
            _expect_file(path, name, entry.isreg() and not entry.issparse())
            yield TarMember(path, name, entry.offset_data, entry.size)
        _expect_end(file, archive.offset)


def _expect_beginning(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse a zip file that is appended to another one, whose files would be ignored."""
    first = min((entry.header_offset for entry in archive.infolist()), default=0)
    if first and all(_begins_with(file, place, _LOCAL_MARK) for place in (0, first)):
        raise zipfile.BadZipFile("it begins with another archive, or with what is left of one")


def _begins_with(file: BinaryIO, place: int, mark: bytes) -> bool:
    file.seek(place)
    return file.read(len(mark)) == mark


def _expect_end(file: BinaryIO, offset: int) -> None:
    """Refuse a tar file that is damaged, cut off, or followed by another archive.

    tarfile takes a damaged header for the end, and ignores everything after the end.
    """
    file.seek(offset)
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it is damaged, or cut off")
    while rest := file.read(_PART):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("behind its end is something else, such as another archive")


def _expect_file(path: Path, name: str, is_file: bool) -> None:
    if not is_file:
        raise UserError(
            f"{path} holds {name!r}, which is a link, or not a regular file",
            "pack the files themselves, with "
            "`maskquery pack` or tar's --dereference and --hard-dereference",
        )
