"""Zarr v3 groups in one zip file, written and read without importing zarr.

Importing zarr takes longer than a small stage's whole work. What is needed of the format is little:
a zarr.json for each group and array, and zstd-compressed chunks, cut along the first axis only. The
bytes of a file depend on what is in it and on nothing else: not on the order in which the groups
came, nor on the time, nor on the system.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

import functools
import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

CHUNK_BYTES = 8 * 2**20
"""Of a chunk before compression, a row larger than that excepted."""

_HEADER_BYTES = 30  # before an entry, without its name

_GROUP = {"zarr_format": 3, "node_type": "group"}
_BROKEN = (
    zipfile.BadZipFile,
    zstandard.ZstdError,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,  # zipfile: an encrypted entry
)


class DamagedError(Exception):
    """A file's bytes are not what was written; the message says what is wrong."""


Read = Callable[[str], bytes]
"""Gives one of a group's files by its path within the group."""


class Shard(NamedTuple):
    """A zip file of groups.

    Attributes:
        data: the file's bytes.
        directory: sha256, in hex, of the bytes from the zip directory on, which has the name, the
            size and the CRC-32 of every entry.
    """

    data: bytes
    directory: str


def encode_group(
    attributes: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], level: int
) -> dict[str, bytes]:
    """The files of a Zarr group, by their paths within it. Arrays are compressed here.

    Args:
        attributes: JSON.
        arrays: by name, each of at least one dimension.
        level: of zstd.
    """
    entries = {"zarr.json": group_json(attributes)}
    for name, array in arrays.items():
        entries |= {f"{name}/{path}": data for path, data in _encode_array(array, level).items()}
    return entries


def group_json(attributes: Mapping[str, Any]) -> bytes:
    """The zarr.json of a group with these attributes."""
    return _json({**_GROUP, "attributes": dict(attributes)})


def decode_attributes(read: Read) -> dict[str, Any]:
    """The attributes that `encode_group` was given.

    Raises:
        DamagedError: the group is not one that `encode_group` makes.
    """
    try:
        attributes = _parse(read("zarr.json")).get("attributes")
    except ValueError as error:
        raise DamagedError(f"zarr.json: {error}") from None
    if not isinstance(attributes, dict):
        raise DamagedError("zarr.json has no attributes")
    return attributes


def decode_array(read: Read, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """One of the arrays that `encode_group` was given; no other file of the group is read.

    Raises:
        DamagedError: there is no such array of this `dtype`, or it is damaged.
    """
    metadata = read(f"{name}/zarr.json")
    try:
        shape, chunk, name_of_dtype = _layout(metadata)
        if name_of_dtype != dtype.name:
            raise DamagedError(f"{name} is not laid out as this program writes it")
        array = np.empty(shape, dtype)
        for number, start in enumerate(range(0, shape[0], chunk[0])):
            data = read(f"{name}/{_chunk_path(number, len(shape))}")
            rows = _decompress(data, chunk, dtype)
            array[start : start + chunk[0]] = rows[: shape[0] - start]
    except (*_BROKEN, KeyError, TypeError, IndexError, MemoryError) as error:
        raise DamagedError(f"{name}: {error}") from None
    return array


def zip_groups(groups: Mapping[str, Mapping[str, bytes]], attributes: Mapping[str, Any]) -> Shard:
    """A zip file of encoded `groups`, by name, with `attributes` at its root."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "zarr.json", group_json(attributes))
        for name, entries in sorted(groups.items()):
            for path in sorted(entries):
                _add(archive, f"{name}/{path}", entries[path])
    data = buffer.getvalue()
    return Shard(data, hashlib.sha256(memoryview(data)[archive.start_dir :]).hexdigest())


def unzip_groups(data: bytes) -> dict[str, dict[str, bytes]]:
    """What `zip_groups` was given: the groups' files, by name and path. Arrays stay compressed.

    Nothing is checked: the bytes are known to be those that were zipped.
    """
    groups: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            name, slash, rest = entry.filename.partition("/")
            if slash:
                start = entry.header_offset + _HEADER_BYTES + len(entry.filename)
                groups.setdefault(name, {})[rest] = data[start : start + entry.file_size]
    return groups


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Store and do not deflate: chunks are compressed, and zlib's bytes vary with its version."""
    entry = zipfile.ZipInfo(name)  # dated 1980 unless told otherwise
    entry.create_system = 3  # as on Unix, wherever this runs
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _encode_array(array: npt.NDArray[Any], level: int) -> dict[str, bytes]:
    length, rest = len(array), array.shape[1:]
    row_bytes = array.itemsize * int(np.prod(rest))
    chunks = -(-length // max(1, CHUNK_BYTES // row_bytes))
    # Zarr pads the last chunk to full length: chunks of nearly equal length leave little to pad.
    size = -(-length // chunks) if chunks else 1
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    compressor = zstandard.ZstdCompressor(level=level)
    entries = {"zarr.json": _json(_array_metadata(array, (size, *rest), level))}
    for number in range(chunks):
        data = little[number * size : (number + 1) * size].tobytes()
        data += bytes(size * row_bytes - len(data))
        entries[_chunk_path(number, array.ndim)] = compressor.compress(data)
    return entries


def _array_metadata(array: npt.NDArray[Any], chunk: tuple[int, ...], level: int) -> dict[str, Any]:
    little = {} if array.itemsize == 1 else {"configuration": {"endian": "little"}}
    zstd = {"name": "zstd", "configuration": {"level": level, "checksum": False}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": array.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": array.dtype.type(0).item(),
        "codecs": [{"name": "bytes", **little}, zstd],
        "attributes": {},
    }


def _chunk_path(number: int, dimensions: int) -> str:
    return "/".join(["c", str(number), *["0"] * (dimensions - 1)])


class Reader:
    """A zip file that `zip_groups` made.

    Methods raise `DamagedError` where the bytes do not fit. An entry that is read is compared with
    its CRC-32, and its name with the one in the zip directory. The directory itself has no checksum
    in a zip file: who knows `Shard.directory` compares it with `directory`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise
        except _BROKEN as error:
            raise DamagedError(str(error)) from None
        assert self._archive.fp is not None  # noqa: S101 - it was just opened
        self._descriptor = self._archive.fp.fileno()
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def directory(self) -> str:
        """`Shard.directory` of the file as it is."""
        start = self._archive.start_dir
        data = os.pread(self._descriptor, max(0, self._size - start), max(0, start))
        return hashlib.sha256(data).hexdigest()

    def groups(self) -> list[str]:
        """The names of the groups, sorted."""
        suffix = "/zarr.json"
        names = (name for name in self._archive.namelist() if name.endswith(suffix))
        return sorted(name.removesuffix(suffix) for name in names if name.count("/") == 1)

    def read(self, group: str, path: str) -> bytes:
        """One of a group's files; `functools.partial(reader.read, group)` is a `Read`."""
        name = f"{group}/{path}"
        try:
            entry = self._archive.getinfo(name)
            data = self._read_stored(entry)
            # A zip file that something else packed takes zipfile's own, slower way.
            return self._archive.read(name) if data is None else data
        except KeyError:
            raise DamagedError(f"{name} is missing") from None
        except _BROKEN as error:
            raise DamagedError(str(error)) from None

    def _read_stored(self, entry: zipfile.ZipInfo) -> bytes | None:
        """An entry as `zip_groups` stores it, checked; None if it is stored in another way."""
        name = entry.filename.encode()
        start, end = _HEADER_BYTES + len(name), _HEADER_BYTES + len(name) + entry.file_size
        data = os.pread(self._descriptor, min(end, self._size), entry.header_offset)
        lengths = struct.pack("<HH", len(name), 0)
        if entry.compress_type or entry.flag_bits or data[26:start] != lengths + name:
            return None
        if len(data) < end or zlib.crc32(data[start:]) != entry.CRC:
            raise DamagedError(f"Bad CRC-32 for {entry.filename}")
        return data[start:]


def _parse(data: bytes) -> dict[str, Any]:
    metadata = json.loads(data)
    if not isinstance(metadata, dict):
        raise ValueError("zarr.json is not what it should be")
    return metadata


@functools.lru_cache(maxsize=4096)
def _layout(metadata: bytes) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Shape, shape of a chunk and dtype that an array's zarr.json names; few differ."""
    read = _parse(metadata)
    shape = tuple(read["shape"])
    chunk = tuple(read["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = [codec["name"] for codec in read["codecs"]]
    if (chunk[1:], codecs) != (shape[1:], ["bytes", "zstd"]):
        raise DamagedError("it is not laid out as this program writes it")
    return shape, chunk, read["data_type"]


def _decompress(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    expected, size = math.prod(shape) * dtype.itemsize, zstandard.frame_content_size(data)
    if size != expected:  # as the frame's header says, before any memory is taken
        raise DamagedError(f"a chunk of {size} bytes where {expected} were expected")
    raw = zstandard.ZstdDecompressor().decompress(data)
    return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)
