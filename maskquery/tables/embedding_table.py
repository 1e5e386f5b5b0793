"""Write and read embeddings.parquet, which has a row for each mask and view."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskquery.masks.packed import MaskColumns
from maskquery.tables import parquet

GROUP_ROWS = 16_384  # 32 MiB of float32 at 512 dimensions

_READ = ["image", "mask_id", "view", "predicted_iou", "stability_score", "embedding"]


def schema_of(dimensions: int) -> pa.Schema:
    """The columns of embeddings.parquet for embeddings of D = `dimensions`."""
    return pa.schema(
        [
            pa.field("image", parquet.NAME, nullable=False),
            pa.field("mask_id", pa.uint64(), nullable=False),
            pa.field("view", parquet.NAME, nullable=False),
            pa.field("box", parquet.vector_type(pa.int32(), 4), nullable=False),
            pa.field("area", pa.int64(), nullable=False),
            pa.field("predicted_iou", pa.float32(), nullable=False),
            pa.field("stability_score", pa.float32(), nullable=False),
            pa.field("embedding", parquet.vector_type(pa.float32(), dimensions), nullable=False),
        ]
    )


def rows_of(
    masks: MaskColumns, views: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> pa.Table:
    """One image's rows of embeddings.parquet: mask by mask, and view by view within a mask.

    Args:
        masks: the image's N masks.
        views: names of the V views.
        embeddings: (N, V, D) float32, each of length 1.
    """
    count, width, dimensions = embeddings.shape
    if (count, width) != (len(masks.ids), len(views)):
        raise ValueError(f"{masks.image}: embeddings {embeddings.shape}, {len(masks.ids)} masks")
    columns = {
        "image": parquet.name_column([masks.image], np.zeros(count * width)),
        "mask_id": np.repeat(masks.ids, width),
        "view": parquet.name_column(views, np.tile(np.arange(width), count)),
        "box": parquet.vector_column(np.repeat(masks.boxes, width, axis=0)),
        "area": np.repeat(masks.areas, width),
        "predicted_iou": np.repeat(masks.predicted_iou, width),
        "stability_score": np.repeat(masks.stability_score, width),
        "embedding": parquet.vector_column(embeddings.reshape(count * width, dimensions)),
    }
    return parquet.table_of(columns, schema_of(dimensions))


def write(
    path: Path, images: Iterable[pa.Table], dimensions: int, metadata: Mapping[str, Any]
) -> int:
    """Write embeddings.parquet, and return the number of rows.

    Args:
        path: replaced in one step at the end.
        images: `rows_of` of each image, sorted by image id.
        dimensions: D, which a file without rows needs for its columns.
        metadata: JSON: models, their hashes, crop settings.
    """
    return parquet.write(path, images, schema_of(dimensions), metadata, GROUP_ROWS)


@dataclass(frozen=True)
class EmbeddingRows:
    """Some rows of embeddings.parquet.

    Attributes:
        images: (R,) str objects, the images' ids.
        ids: (R,) uint64, mask ids.
        views: (R,) str objects.
        predicted_iou, stability_score: (R,) float32, of the masks.
        embeddings: (R, D) float32.
    """

    images: npt.NDArray[np.object_]
    ids: npt.NDArray[np.uint64]
    views: npt.NDArray[np.object_]
    predicted_iou: npt.NDArray[np.float32]
    stability_score: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]


def dimensions(path: Path) -> int:
    """D of embeddings.parquet, even if it has no row.

    Raises:
        UserError: the file is missing or damaged.
    """
    with parquet.open_table(path) as reader:
        return reader.length_of("embedding")


def read(path: Path) -> Iterator[EmbeddingRows]:
    """Yield the rows of embeddings.parquet, at most `GROUP_ROWS` at a time.

    Raises:
        UserError: the file is missing, damaged or has other columns.
    """
    with parquet.open_table(path) as reader:
        schema = schema_of(reader.length_of("embedding"))
        for table in reader.groups(_READ, schema):
            yield EmbeddingRows(
                images=parquet.strings(table["image"]),
                ids=parquet.numbers(table["mask_id"]),
                views=parquet.strings(table["view"]),
                predicted_iou=parquet.numbers(table["predicted_iou"]),
                stability_score=parquet.numbers(table["stability_score"]),
                embeddings=parquet.vectors(table["embedding"]),
            )
