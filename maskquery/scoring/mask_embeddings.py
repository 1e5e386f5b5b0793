"""embeddings.parquet one image at a time: its rows as a stack of masks and views."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.tables import embedding_table
from maskquery.tables.embedding_table import EmbeddingRows


@dataclass(frozen=True)
class Stack:
    """One image's embeddings.

    Attributes:
        image: the image's id.
        ids: (N,) uint64, mask ids.
        predicted_iou, stability_score: (N,) float32.
        embeddings: (N, V, D) float32, each of length 1.
    """

    image: str
    ids: npt.NDArray[np.uint64]
    predicted_iou: npt.NDArray[np.float32]
    stability_score: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]


def read(path: Path, views: Sequence[str]) -> Iterator[Stack]:
    """The images of embeddings.parquet that have masks, in the file's order.

    Raises:
        UserError: the file is missing or damaged, or a mask's rows are not these views in order.
    """
    for rows in by_image(embedding_table.read(path)):
        count = len(rows.ids) // len(views)
        ids = rows.ids[:: len(views)]
        whole = np.array_equal(np.repeat(ids, len(views)), rows.ids)
        if not whole or not np.array_equal(np.tile(np.array(views, object), count), rows.views):
            raise UserError(
                f"{path}: the rows of image {rows.images[0]!r} are not the views "
                f"{', '.join(views)} of each mask",
                "delete the file and run `dvc repro`",
            )
        yield Stack(
            image=str(rows.images[0]),
            ids=ids,
            predicted_iou=rows.predicted_iou[:: len(views)],
            stability_score=rows.stability_score[:: len(views)],
            embeddings=rows.embeddings.reshape(count, len(views), -1),
        )


def by_image(chunks: Iterable[EmbeddingRows]) -> Iterator[EmbeddingRows]:
    """The rows of one image at a time, wherever the chunks end."""
    waiting: list[EmbeddingRows] = []
    for chunk in chunks:
        changes = np.flatnonzero(chunk.images[1:] != chunk.images[:-1]) + 1
        for start, end in zip([0, *changes], [*changes, len(chunk.images)], strict=True):
            if waiting and waiting[0].images[0] != chunk.images[start]:
                yield _join(waiting)
                waiting = []
            waiting.append(EmbeddingRows(*(column[start:end] for column in vars(chunk).values())))
    if waiting:
        yield _join(waiting)


def _join(parts: Sequence[EmbeddingRows]) -> EmbeddingRows:
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return EmbeddingRows(*(np.concatenate(column) for column in columns))
