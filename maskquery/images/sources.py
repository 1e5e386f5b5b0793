"""Sources of files: a folder, archives, a listed bucket, or a single image."""

import os
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path

from maskquery.core.errors import UserError
from maskquery.images import archives, buckets, names, regular

File = Path | archives.Member | buckets.Object
"""Where a file's bytes are. `str` of it is its name in messages; it can be pickled."""


def files_of(source: Path) -> Iterator[tuple[str, File]]:
    """All files of a source, except hidden ones, each with its path in the source.

    Args:
        source: a folder, which may hold files and archives; or an archive; or a listing of a
            bucket; or an image. A file in an archive has its path in the archive.

    Raises:
        UserError: there is no such source, or as `image_files.find`.
    """
    if source.is_dir():
        for path in _walk(source):
            if archives.is_archive(path):
                _expect_file(path)
                yield from ((member.name, member) for member in archives.members(path))
            elif names.is_image(path.name):
                _expect_file(path)
                names.expect_text(path.relative_to(source).as_posix(), source)
                yield path.relative_to(source).as_posix(), path
            elif path.is_file():
                yield path.relative_to(source).as_posix(), path
            elif path.exists():
                _expect_file(path)  # DVC opens it, whatever its name is
    elif _is_listing(source):
        yield from ((entry.name, entry) for entry in buckets.read(source).files())
    elif source.is_file() and archives.is_archive(source):
        yield from ((member.name, member) for member in archives.members(source))
    elif source.is_file() and names.is_image(source.name):
        names.expect_text(source.name, source.parent)
        yield source.name, source
    else:
        raise UserError(
            f"{source} is not a folder", "put images there, or set `images` in params.yaml"
        )


def by_name(source: Path) -> dict[str, File]:
    """The files of a source, images or not, by their paths in it.

    Raises:
        UserError: as `files_of`; or two files have the same path, for example in two archives.
    """
    files: dict[str, File] = {}
    for name, file in files_of(source):
        if name in files:
            raise UserError(f"{files[name]} and {file} have one name, {name!r}", "rename one")
        files[name] = file
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (link := Path(parent, name)).is_symlink():
                raise UserError(
                    f"{_printable(link)} is a link to a folder: DVC does not see changes in it"
                )
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise UserError(f"{_printable(Path(error.filename))} cannot be read ({error.strerror})")


def _expect_file(path: Path) -> None:
    try:
        kind = regular.kind_of(path.stat())
    except OSError:
        raise UserError(
            f"{_printable(path)} is not a file", "remove the link or put the file there"
        ) from None
    if kind:
        raise UserError(
            f"{_printable(path)} is not a file, but {kind}, which has no end",
            "remove it; DVC would wait for it, too",
        )


def _printable(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def is_source(path: Path) -> bool:
    """Whether `files_of` accepts a path: a folder, an archive, a listing or an image."""
    if not path.is_file():
        return path.is_dir()
    return _is_listing(path) or names.is_image(path.name) or archives.is_archive(path)


def _is_listing(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() == buckets.SUFFIX


def expect_current(source: Path) -> None:
    """Compare a listing with its bucket; other sources need no check.

    Raises:
        UserError: naming the first object that has changed or was removed.
    """
    if _is_listing(source):
        buckets.expect_current(source)


def stamps(files: Mapping[str, File]) -> dict[str, Hashable]:
    """For each file a value that changes with its content; None if the file is missing."""
    by_path: dict[Path, Hashable] = {}  # each archive is read once
    stamps: dict[str, Hashable] = {}
    for key, file in files.items():
        if isinstance(file, buckets.Object):
            stamps[key] = file
            continue
        path = file if isinstance(file, Path) else file.archive
        if path not in by_path:
            by_path[path] = _stamp(path)
        stamps[key] = by_path[path] if isinstance(file, Path) else (by_path[path], file)
    return stamps


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
