"""embeddings.parquet and scores.parquet: schemas, writing and reading, with bounded memory.

Both are read by any Parquet reader. What decided their contents (models, their hashes, settings) is
JSON in the schema's metadata under the key `retrieval`. Equal rows and metadata give equal bytes.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retrieval import files
from retrieval.errors import UserError
from retrieval.masks import ImageMasks

METADATA_KEY = b"retrieval"
EMBEDDING_GROUP_ROWS = 16_384  # 32 MiB of float32 at 512 dimensions
SCORE_GROUP_ROWS = 1_048_576

_NAME = pa.dictionary(pa.int32(), pa.string())

SCORES_SCHEMA = pa.schema(
    [
        pa.field("image", _NAME, nullable=False),
        pa.field("mask_id", pa.uint64(), nullable=False),
        pa.field("class", _NAME, nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)


def embeddings_schema(dimensions: int) -> pa.Schema:
    """The columns of embeddings.parquet for embeddings of D = `dimensions`."""
    return pa.schema(
        [
            pa.field("image", _NAME, nullable=False),
            pa.field("mask_id", pa.uint64(), nullable=False),
            pa.field("view", _NAME, nullable=False),
            pa.field("box", _vectors(pa.int32(), 4), nullable=False),
            pa.field("area", pa.int64(), nullable=False),
            pa.field("predicted_iou", pa.float32(), nullable=False),
            pa.field("stability_score", pa.float32(), nullable=False),
            pa.field("embedding", _vectors(pa.float32(), dimensions), nullable=False),
        ]
    )


def _vectors(kind: pa.DataType, length: int) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False), length)


def embedding_rows(
    masks: ImageMasks, views: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> pa.Table:
    """One image's rows of embeddings.parquet: a row per mask and view, views within masks.

    Args:
        masks: the image's N masks.
        views: names of the V views.
        embeddings: (N, V, D) float32, each of length 1.
    """
    count, width, dimensions = embeddings.shape
    if (count, width) != (len(masks.ids), len(views)):
        raise ValueError(f"{masks.image}: embeddings {embeddings.shape}, {len(masks.ids)} masks")
    columns = {
        "image": _names([masks.image], np.zeros(count * width)),
        "mask_id": np.repeat(masks.ids, width),
        "view": _names(views, np.tile(np.arange(width), count)),
        "box": _flat(np.repeat(masks.boxes, width, axis=0)),
        "area": np.repeat(masks.areas, width),
        "predicted_iou": np.repeat(masks.predicted_iou, width),
        "stability_score": np.repeat(masks.stability_score, width),
        "embedding": _flat(embeddings.reshape(count * width, dimensions)),
    }
    return _table(columns, embeddings_schema(dimensions))


def score_rows(
    image: str,
    ids: npt.NDArray[np.uint64],
    classes: Sequence[str],
    similarity: npt.NDArray[np.float32],
) -> pa.Table:
    """One image's rows of scores.parquet: a row per mask and class, classes within masks.

    Args:
        image: the image's id.
        ids: (N,) mask ids.
        classes: names of the C classes.
        similarity: (N, C) float32, -1 to 1.
    """
    if similarity.shape != (len(ids), len(classes)):
        raise ValueError(f"{image}: similarity {similarity.shape}, {len(ids)} x {len(classes)}")
    columns = {
        "image": _names([image], np.zeros(similarity.size)),
        "mask_id": np.repeat(ids, len(classes)),
        "class": _names(classes, np.tile(np.arange(len(classes)), len(ids))),
        "similarity": similarity.reshape(-1),
    }
    return _table(columns, SCORES_SCHEMA)


def _names(names: Sequence[str], codes: npt.NDArray[Any]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def _flat(vectors: npt.NDArray[Any]) -> pa.Array:
    kind = pa.from_numpy_dtype(vectors.dtype)
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, type=_vectors(kind, vectors.shape[1]))


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_embeddings(
    path: Path, images: Iterable[pa.Table], dimensions: int, metadata: Mapping[str, Any]
) -> int:
    """Write embeddings.parquet; the number of rows.

    Args:
        path: replaced in one step at the end.
        images: `embedding_rows` of each image, sorted by image id.
        dimensions: D; given, so that a file without rows has its columns too.
        metadata: JSON: models, their hashes, crop settings.
    """
    schema = embeddings_schema(dimensions)
    return _write(path, images, schema, metadata, EMBEDDING_GROUP_ROWS)


def write_scores(
    path: Path, images: Iterable[pa.Table], classes: Sequence[str], metadata: Mapping[str, Any]
) -> int:
    """Write scores.parquet; the number of rows.

    Args:
        path: replaced in one step at the end.
        images: `score_rows` of each image, sorted by image id, all with these `classes`.
        classes: names of the classes, in the order in which everything after lists them.
        metadata: JSON: models and prompts; `classes` is added.
    """
    everything = {**metadata, "classes": list(classes)}
    return _write(path, images, SCORES_SCHEMA, everything, SCORE_GROUP_ROWS)


def _write(
    path: Path,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    metadata: Mapping[str, Any],
    group_rows: int,
) -> int:
    """Write row groups of exactly `group_rows`, wherever the tables that arrive are cut."""
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
        for table in _regrouped(tables, schema, group_rows):
            # Images bring dictionaries of their own: a row group has one of all its images.
            writer.write_table(table.unify_dictionaries(), row_group_size=group_rows)
            rows += table.num_rows
    return rows


def _regrouped(tables: Iterable[pa.Table], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table.replace_schema_metadata(schema.metadata))
        while sum(part.num_rows for part in waiting) >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows).combine_chunks()
            waiting = [joined.slice(rows)]
    if any(part.num_rows for part in waiting):
        yield pa.concat_tables(waiting).combine_chunks()


@dataclass(frozen=True)
class EmbeddingRows:
    """Some rows of embeddings.parquet.

    Attributes:
        images: (R,) str objects, the images' ids.
        ids: (R,) uint64, mask ids.
        views: (R,) str objects.
        embeddings: (R, D) float32.
    """

    images: npt.NDArray[np.object_]
    ids: npt.NDArray[np.uint64]
    views: npt.NDArray[np.object_]
    embeddings: npt.NDArray[np.float32]


def read_embeddings(path: Path) -> Iterator[EmbeddingRows]:
    """The rows of embeddings.parquet, some ten thousand at a time.

    Raises:
        UserError: the file is missing, damaged or has other columns.
    """
    columns = ["image", "mask_id", "view", "embedding"]
    with _open(path, columns) as file:
        for group in range(file.num_row_groups):
            table = _group(file, path, group, columns)
            vectors = table["embedding"].combine_chunks()
            dimensions = vectors.type.list_size
            yield EmbeddingRows(
                images=_strings(table["image"]),
                ids=_values(table["mask_id"]),
                views=_strings(table["view"]),
                embeddings=_values(vectors.flatten()).reshape(-1, dimensions),
            )


def read_metadata(path: Path) -> dict[str, Any]:
    """What `write_embeddings` or `write_scores` was given as metadata.

    Raises:
        UserError: the file is missing, damaged or not one of ours.
    """
    with _open(path, []) as file:
        return _metadata(file, path)


@dataclass(frozen=True)
class ImageScores:
    """The similarities of one image's masks.

    Attributes:
        ids: (N,) uint64, mask ids.
        similarity: (N, C) float32.
    """

    ids: npt.NDArray[np.uint64]
    similarity: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """All of scores.parquet: names of the C classes, and each image's scores by its id."""

    classes: tuple[str, ...]
    images: Mapping[str, ImageScores]


def read_scores(path: Path) -> Scores:
    """Read scores.parquet. Images without any mask have no rows and are not in the result.

    Raises:
        UserError: the file is missing, damaged, or its rows are not as `write_scores` leaves them.
    """
    columns = ["image", "mask_id", "class", "similarity"]
    with _open(path, columns) as file:
        if file.schema_arrow.remove_metadata() != SCORES_SCHEMA:
            raise _unusable(path, "its columns are of other types")
        classes = tuple(_metadata(file, path).get("classes") or ())
        groups = [_group(file, path, group, columns) for group in range(file.num_row_groups)]
    table = pa.concat_tables(groups) if groups else SCORES_SCHEMA.empty_table()
    # One dictionary for all row groups, so that equal names have equal codes.
    table = table.unify_dictionaries()
    if not classes or table.num_rows % len(classes):
        raise _unusable(path, f"{table.num_rows} rows for {len(classes)} classes")
    shape = (-1, len(classes))  # a row for each mask, a column for each class
    class_names, codes = _codes(table["class"])
    order = [classes.index(name) if name in classes else -1 for name in class_names]
    if np.any(np.array(order, int)[codes].reshape(shape) != np.arange(len(classes))):
        raise _unusable(path, f"the rows of a mask do not go through the classes {classes}")
    image_names, codes = _codes(table["image"])
    images, ids = codes.reshape(shape), _values(table["mask_id"]).reshape(shape)
    if np.any(images != images[:, :1]) or np.any(ids != ids[:, :1]):
        raise _unusable(path, "the rows of a mask do not stand together")
    similarity = _values(table["similarity"]).reshape(shape)
    result: dict[str, ImageScores] = {}
    for start, end in _runs(images[:, 0]):
        name = image_names[images[start, 0]]
        if name in result:
            raise _unusable(path, f"the rows of image {name!r} do not stand together")
        result[name] = ImageScores(ids[start:end, 0], similarity[start:end])
    return Scores(classes, result)


def _runs(codes: npt.NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of equal values in (R,) codes, none of them negative."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return itertools.pairwise([*starts.tolist(), len(codes)])


def _open(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`") from None
    except (OSError, pa.ArrowException) as error:
        raise _unusable(path, str(error)) from None
    missing = set(columns) - set(file.schema_arrow.names)
    if missing:
        raise _unusable(path, f"no column {', '.join(sorted(missing))}")
    return file


def _group(file: pq.ParquetFile, path: Path, group: int, columns: Sequence[str]) -> pa.Table:
    try:
        return file.read_row_group(group, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _unusable(path, str(error)) from None


def _metadata(file: pq.ParquetFile, path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
    except (KeyError, ValueError):
        raise _unusable(path, "its metadata is not this program's") from None
    if not isinstance(metadata, dict):
        raise _unusable(path, "its metadata is not this program's")
    return metadata


def _codes(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The names of a dictionary column, and each row's index among them."""
    array = column.combine_chunks()
    return array.dictionary.to_pylist(), _values(array.indices)


def _values(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """The numbers of a column without nulls; pyarrow's `to_numpy` imports pandas: 0.4 s."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.from_dlpack(array)


def _strings(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    names, codes = _codes(column)
    return np.array(names, object)[codes]


def _unusable(path: Path, what: str) -> UserError:
    return UserError(f"{path} cannot be used ({what}): delete it and run `dvc repro`")
