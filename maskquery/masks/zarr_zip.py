"""Zarr v3 groups in one zip file, written and read without importing zarr.

The import of zarr takes longer than all the work of a small stage, and little of the format is
needed: a zarr.json for each group and array, and zstd-compressed chunks along the first axis.
Output is deterministic: independent of the order of groups, of the clock and of the platform.

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
"""The largest chunk before compression, except for a single larger row."""

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
    """A file's bytes are not those that were written; the message says what is wrong."""


Read = Callable[[str], bytes]
"""Reads a file of a group by its path within the group."""


class Shard(NamedTuple):
    """A zip file of groups.

    Attributes:
        data: the file's bytes.
        directory: sha256, in hex, of the bytes from the zip directory to the end. The directory has
            the name, size and CRC-32 of every entry.
    """

    data: bytes
    directory: str


def encode_group(
    attributes: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], level: int
) -> dict[str, bytes]:
    """Encode a Zarr group as files, by their paths within the group; arrays are compressed.

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
    """Decode the attributes that were passed to `encode_group`.

    Raises:
        DamagedError: `encode_group` did not write this.
    """
    try:
        attributes = _parse(read("zarr.json")).get("attributes")
    except ValueError as error:
        raise DamagedError(f"zarr.json: {error}") from None
    if not isinstance(attributes, dict):
        raise DamagedError("zarr.json has no attributes")
    return attributes


def decode_array(read: Read, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Decode one of the arrays that were passed to `encode_group`; no other is read.

    Raises:
        DamagedError: there is no such array, it has another `dtype`, or it is damaged.
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
    """Build a zip file of encoded `groups`, by name, with `attributes` at its root."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "zarr.json", group_json(attributes))
        for name, entries in sorted(groups.items()):
            for path in sorted(entries):
                _add(archive, f"{name}/{path}", entries[path])
    data = buffer.getvalue()
    return Shard(data, hashlib.sha256(memoryview(data)[archive.start_dir :]).hexdigest())


def unzip_groups(data: bytes) -> dict[str, dict[str, bytes]]:
    """The groups that were passed to `zip_groups`, by name; arrays stay compressed.

    Nothing is checked: the caller knows that the bytes are intact.
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
    """Add an entry without deflate: chunks are compressed, and zlib's output varies by version."""
    entry = zipfile.ZipInfo(name)  # its date is 1980 by default
    entry.create_system = 3  # as on Unix, wherever this runs
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _encode_array(array: npt.NDArray[Any], level: int) -> dict[str, bytes]:
    length, rest = len(array), array.shape[1:]
    row_bytes = array.itemsize * int(np.prod(rest))
    chunks = -(-length // max(1, CHUNK_BYTES // row_bytes))
    # Zarr pads the last chunk to full length; chunks of nearly equal length need little padding.
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
    """Reads a zip file that `zip_groups` built.

    Methods raise `DamagedError` if bytes are damaged: the CRC-32 of each entry that is read is
    checked, and its name. The zip directory has no checksum: the caller compares `directory` with
    `Shard.directory`.
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
        """The file's `Shard.directory`."""
        start = self._archive.start_dir
        data = os.pread(self._descriptor, max(0, self._size - start), max(0, start))
        return hashlib.sha256(data).hexdigest()

    def groups(self) -> list[str]:
        """The names of the groups, sorted."""
        suffix = "/zarr.json"
        names = (name for name in self._archive.namelist() if name.endswith(suffix))
        return sorted(name.removesuffix(suffix) for name in names if name.count("/") == 1)

    def read(self, group: str, path: str) -> bytes:
        """Read a file of a group; `functools.partial(reader.read, group)` is a `Read`."""
        name = f"{group}/{path}"
        try:
            entry = self._archive.getinfo(name)
            data = self._read_stored(entry)
            # A zip file of another program is read by zipfile, which is slower.
            return self._archive.read(name) if data is None else data
        except KeyError:
            raise DamagedError(f"{name} is missing") from None
        except _BROKEN as error:
            raise DamagedError(str(error)) from None

    def _read_stored(self, entry: zipfile.ZipInfo) -> bytes | None:
        """Read an entry that `zip_groups` wrote, and check it; None if it is stored otherwise."""
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
        raise ValueError("zarr.json is not a JSON object")
    return metadata


@functools.lru_cache(maxsize=4096)
def _layout(metadata: bytes) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """The shape, chunk shape and dtype in an array's zarr.json; few differ, so they are cached."""
    fields = _parse(metadata)
    shape = tuple(fields["shape"])
    chunk = tuple(fields["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = [codec["name"] for codec in fields["codecs"]]
    if (chunk[1:], codecs) != (shape[1:], ["bytes", "zstd"]):
        raise DamagedError("it is not laid out as this program writes it")
    return shape, chunk, fields["data_type"]


def _decompress(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    expected, size = math.prod(shape) * dtype.itemsize, zstandard.frame_content_size(data)
    if size != expected:  # from the frame's header, before memory is allocated
        raise DamagedError(f"a chunk of {size} bytes where {expected} were expected")
    raw = zstandard.ZstdDecompressor().decompress(data)
    return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)
