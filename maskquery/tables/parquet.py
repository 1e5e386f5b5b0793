"""Write and read embeddings.parquet and scores.parquet.

Any Parquet reader reads both. Models, their hashes and settings are JSON in the schema's metadata,
under the key `maskquery`. Equal rows and metadata give equal bytes.

Damage is detected by means of Parquet: pages have checksums; the footer has none, but it has the
numbers of rows, the places and types of columns, and the metadata twice.

The columns are defined in `embedding_table` and `score_table`.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskquery.core import files
from maskquery.core.errors import UserError

METADATA_KEY = b"maskquery"

_DAMAGED = (OSError, pa.ArrowException, ValueError)

NAME = pa.dictionary(pa.int32(), pa.string())
"""The type of a column of names, each of which is stored once."""


def vector_type(kind: pa.DataType, length: int) -> pa.DataType:
    """The type of a column of vectors of `length` numbers."""
    return pa.list_(pa.field("element", kind, nullable=False), length)


def name_column(names: Sequence[str], codes: npt.NDArray[Any]) -> pa.Array:
    """A column of names, each stored once.

    Args:
        names: the K names.
        codes: (R,) of any number type, each row's index among the names.
    """
    return pa.DictionaryArray.from_arrays(
        number_column(codes.astype(np.int32)), pa.array(names, pa.string())
    )


def number_column(numbers: npt.NDArray[Any]) -> pa.Array:
    """A column of numbers (R,). `pyarrow.array` would import pandas for it, which takes 0.4 s."""
    buffer = pa.py_buffer(np.ascontiguousarray(numbers))
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, buffer])


def vector_column(vectors: npt.NDArray[Any]) -> pa.Array:
    """A column of vectors (R, D)."""
    kind = vector_type(pa.from_numpy_dtype(vectors.dtype), vectors.shape[1])
    return pa.FixedSizeListArray.from_arrays(number_column(vectors.reshape(-1)), type=kind)


def table_of(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Build a table of the schema's columns from Arrow or numpy arrays."""
    arrays = [
        number_column(column) if isinstance(column, np.ndarray) else column
        for column in (columns[field.name] for field in schema)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write(
    path: Path,
    parts: Iterable[pa.Table],
    schema: pa.Schema,
    metadata: Mapping[str, Any],
    group_rows: int,
) -> int:
    """Write a Parquet file in row groups of exactly `group_rows` rows (the last may have fewer).

    Args:
        path: replaced in one step at the end.
        parts: tables of this `schema`, of any lengths; not all are in memory at once.
        schema: columns and their types.
        metadata: JSON.
        group_rows: bounds the memory for writing and for reading.

    Returns:
        The number of rows.
    """
    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    schema = schema.with_metadata({METADATA_KEY: text.encode()})
    scalars = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    rows = 0
    with (
        files.replacing_file(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=["image", "view", "class", "mask_id"],
            write_statistics=scalars,
            write_page_checksum=True,
        ) as writer,
    ):
        for table in _regroup(parts, schema, group_rows):
            # Each image's table has its own dictionary; a row group gets one for all its images.
            writer.write_table(table.unify_dictionaries(), row_group_size=group_rows)
            rows += table.num_rows
    return rows


def _regroup(parts: Iterable[pa.Table], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    count = 0
    for part in parts:
        waiting.append(part.replace_schema_metadata(schema.metadata))
        count += part.num_rows
        while count >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows).combine_chunks()
            waiting = [joined.slice(rows)]
            count -= rows
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


class Reader:
    """An open Parquet file of this program. Errors are `UserError`s that name the file.

    Attributes:
        schema: columns and their types, without metadata.
    """

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path = path
        self._file = file
        self.schema: pa.Schema = file.schema_arrow.remove_metadata()

    def length_of(self, column: str) -> int:
        """The length of a column's vectors; 0 if there are none."""
        field = (
            self.schema.field(column) if column in self.schema.names else pa.field("", pa.null())
        )
        return max(0, field.type.list_size) if pa.types.is_fixed_size_list(field.type) else 0

    def groups(self, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield some columns of each row group; there may be no row group.

        Raises:
            UserError: a column is missing, of another type than in `schema`, or damaged.
        """
        missing = set(columns) - set(self.schema.names)
        if missing:
            raise self.unusable(f"no column {', '.join(sorted(missing))}")
        if any(self.schema.field(name).type != schema.field(name).type for name in columns):
            raise self.unusable("its columns are of other types")
        end = 0
        for group, count in enumerate(self._row_counts()):
            try:
                table = self._file.read_row_group(group, columns=columns, use_threads=False)
                table.validate(full=True)  # page headers have no checksum
            except _DAMAGED as error:
                raise self.unusable(str(error)) from None
            end = self._end_of(group, columns, end)
            if table.num_rows != count:
                raise self.unusable("rows are missing")
            if any(table[name].null_count for name in columns):
                raise self.unusable("values are missing")
            yield table

    def _row_counts(self) -> list[int]:
        """The number of rows of each row group; their sum must be that of the footer."""
        footer = self._file.metadata
        counts = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        if sum(counts) != footer.num_rows:
            raise self.unusable("rows are missing")
        return counts

    def _end_of(self, group: int, columns: Sequence[str], end: int) -> int:
        """The end of a row group's columns, which must lie one after the other beyond `end`.

        Otherwise a column would be that of another row group. Only columns that were read are
        checked: pyarrow ends the process if it is asked about one that it cannot parse.
        """
        footer, schema = self._file.metadata.row_group(group), self._file.schema
        paths = [schema.column(index).path.split(".")[0] for index in range(len(schema))]
        for chunk in (footer.column(i) for i, path in enumerate(paths) if path in columns):
            starts = [chunk.data_page_offset]
            starts += [chunk.dictionary_page_offset] if chunk.has_dictionary_page else []
            if min(starts) < end:
                raise self.unusable("its columns do not lie one after the other")
            end = min(starts) + chunk.total_compressed_size
        return end

    def metadata(self) -> dict[str, Any]:
        """The metadata that was passed to `write`.

        pyarrow writes it into the footer twice, alone and within Arrow's schema.
        """
        copies = [self._file.metadata.metadata or {}, self._file.schema_arrow.metadata or {}]
        text, other = (copy.get(METADATA_KEY, b"") for copy in copies)
        try:
            metadata = json.loads(text) if text == other else None
        except ValueError:
            metadata = None
        if not isinstance(metadata, dict):
            raise self.unusable("its metadata is not this program's")
        return metadata

    def unusable(self, what: str) -> UserError:
        """An error about this file, for the caller to raise."""
        return _unusable(self.path, what)


@contextlib.contextmanager
def open_table(path: Path) -> Iterator[Reader]:
    """Open a Parquet file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "run `dvc repro`") from None
    except _DAMAGED as error:
        raise _unusable(path, str(error)) from None
    with file:
        yield Reader(path, file)


def _unusable(path: Path, what: str) -> UserError:
    return UserError(f"{path} cannot be used ({what})", "delete it and run `dvc repro`")


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that a file was written with.

    Raises:
        UserError: the file is missing, damaged or not one of ours.
    """
    with open_table(path) as reader:
        return reader.metadata()


def codes(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The distinct names of a column of names, and each row's index among them: (R,) int32."""
    array = column.combine_chunks()
    return array.dictionary.to_pylist(), numbers(array.indices)


def strings(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """A column of names as (R,) str objects."""
    names, rows = codes(column)
    return np.array(names, object)[rows]


def numbers(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """A column of numbers without nulls as (R,). pyarrow's `to_numpy` would import pandas."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.from_dlpack(array)


def vectors(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of vectors without nulls as (R, D)."""
    array = column.combine_chunks()
    return numbers(array.flatten()).reshape(-1, array.type.list_size)
