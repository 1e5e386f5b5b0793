"""Write and read scores.parquet, which has a row for each mask and class."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskquery.core.errors import UserError
from maskquery.tables import parquet

GROUP_ROWS = 1_048_576

SCHEMA = pa.schema(
    [
        pa.field("image", parquet.NAME, nullable=False),
        pa.field("mask_id", pa.uint64(), nullable=False),
        pa.field("class", parquet.NAME, nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)


def rows_of(
    image: str,
    ids: npt.NDArray[np.uint64],
    classes: Sequence[str],
    similarity: npt.NDArray[np.float32],
    score: npt.NDArray[np.float32],
) -> pa.Table:
    """One image's rows of scores.parquet: mask by mask, and class by class within a mask.

    Args:
        image: the image's id.
        ids: (N,) mask ids.
        classes: names of the C classes.
        similarity: (N, C) float32, cosines, -1 to 1.
        score: (N, C) float32, what a threshold is compared with, -1 to 1.
    """
    for name, array in (("similarity", similarity), ("score", score)):
        if array.shape != (len(ids), len(classes)):
            raise ValueError(f"{image}: {name} {array.shape}, {len(ids)} x {len(classes)}")
    columns = {
        "image": parquet.name_column([image], np.zeros(similarity.size)),
        "mask_id": np.repeat(ids, len(classes)),
        "class": parquet.name_column(classes, np.tile(np.arange(len(classes)), len(ids))),
        "similarity": similarity.reshape(-1),
        "score": score.reshape(-1),
    }
    return parquet.table_of(columns, SCHEMA)


def write(
    path: Path, images: Iterable[pa.Table], classes: Sequence[str], metadata: Mapping[str, Any]
) -> int:
    """Write scores.parquet, and return the number of rows.

    Args:
        path: replaced in one step at the end.
        images: `rows_of` of each image, sorted by image id, all with these `classes`.
        classes: names of the classes; later files list them in this order.
        metadata: JSON: models and prompts; `classes` is added.
    """
    metadata = {**metadata, "classes": list(classes)}
    return parquet.write(path, images, SCHEMA, metadata, GROUP_ROWS)


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image's masks.

    Attributes:
        ids: (N,) uint64, mask ids.
        similarity: (N, C) float32, cosines.
        score: (N, C) float32, what a threshold is compared with.
    """

    ids: npt.NDArray[np.uint64]
    similarity: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """The content of scores.parquet: names of the C classes, and scores of each image, by id."""

    classes: tuple[str, ...]
    images: Mapping[str, ImageScores]

    def of(self, image: str, ids: npt.NDArray[np.uint64], masks: Path) -> npt.NDArray[np.float32]:
        """The scores of an image's masks, in the order of `ids`.

        Args:
            image: the image's id.
            ids: (N,) uint64, of all masks of the image.
            masks: the store of the masks, for the message.

        Returns:
            (N, C) float32.

        Raises:
            UserError: the table has other masks of the image.
        """
        none = np.empty((0, len(self.classes)), np.float32)
        scores = self.images.get(image) or ImageScores(np.empty(0, np.uint64), none, none)
        rows = locate(ids, scores.ids)
        if rows is None:
            raise stale_error(masks, image)
        score: npt.NDArray[np.float32] = scores.score[rows]
        return score


def locate(
    ids: npt.NDArray[np.uint64], among: npt.NDArray[np.uint64]
) -> npt.NDArray[np.intp] | None:
    """The place of each id in `among`; None unless both hold the same ids, each once.

    >>> locate(np.array([7, 5], np.uint64), np.array([5, 7], np.uint64))
    array([1, 0])

    Args:
        ids: (N,) uint64.
        among: (N,) uint64.

    Returns:
        (N,) indices.
    """
    in_order, order = np.sort(ids), np.argsort(among)
    if not np.array_equal(in_order, among[order]) or (in_order[1:] == in_order[:-1]).any():
        return None
    return order[np.searchsorted(among, ids, sorter=order)]


def stale_error(masks: Path, image: str) -> UserError:
    """An error about masks and scores of different runs, for the caller to raise."""
    return UserError(
        f"the scores and {masks} do not hold the same masks of image {image!r}", "run `dvc repro`"
    )


def read(path: Path) -> Scores:
    """Read scores.parquet. Images without masks have no rows, and are not in the result.

    Raises:
        UserError: the file is missing or damaged, or its rows are in another order.
    """
    with parquet.open_table(path) as reader:
        groups = list(reader.groups(SCHEMA.names, SCHEMA))
        names = reader.metadata().get("classes")
    classes = tuple(names) if isinstance(names, list) else ()
    table = pa.concat_tables(groups or [SCHEMA.empty_table()])  # no row, no row group
    # One dictionary for all row groups, so that equal names have equal codes.
    table = table.unify_dictionaries()
    if not classes or table.num_rows % len(classes):
        raise reader.unusable(f"{table.num_rows} rows for {len(classes)} classes")
    shape = (-1, len(classes))  # a row for each mask, a column for each class
    class_names, codes = parquet.codes(table["class"])
    order = [classes.index(name) if name in classes else -1 for name in class_names]
    if np.any(np.array(order, int)[codes].reshape(shape) != np.arange(len(classes))):
        raise reader.unusable(f"the rows of a mask are not those of the classes {classes}")
    image_names, codes = parquet.codes(table["image"])
    images, ids = codes.reshape(shape), parquet.numbers(table["mask_id"]).reshape(shape)
    if np.any(images != images[:, :1]) or np.any(ids != ids[:, :1]):
        raise reader.unusable("the rows of a mask are not contiguous")
    similarity, score = (parquet.numbers(table[n]).reshape(shape) for n in ("similarity", "score"))
    result: dict[str, ImageScores] = {}
    for start, end in _runs(images[:, 0]):
        name = image_names[images[start, 0]]
        if name in result:
            raise reader.unusable(f"the rows of image {name!r} are not contiguous")
        result[name] = ImageScores(ids[start:end, 0], similarity[start:end], score[start:end])
    return Scores(classes, result)


def _runs(codes: npt.NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of equal values in (R,) codes, none of them negative."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return itertools.pairwise([*starts.tolist(), len(codes)])
