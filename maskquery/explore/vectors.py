"""embeddings.parquet as one memory-mapped vector per mask, to search through all of them exactly.

Parquet's pages are compressed and cannot be mapped. So the file is read once, its views folded into
their weighted mean, and the result kept in the cache of finished work beside a note of what it was
made from. A matrix-vector product over a million masks takes a fraction of a second, and needs no
index: see `benchmarks/explorer.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.core import files
from maskquery.jobs import cache
from maskquery.scoring import mask_embeddings, similarity
from maskquery.tables import embedding_table

Floats = npt.NDArray[np.float32]

VERSION = 2  # raise it when the same embeddings give other files
_NOTE = "note.json"


@dataclass(frozen=True)
class Vectors:
    """N masks of all images, an image's masks together.

    Attributes:
        images: ids of the images that have masks.
        starts: (I + 1,) int64: the rows of image i are starts[i] to starts[i + 1].
        ids: (N,) uint64, mask ids.
        means: (N, D) float32, the weighted mean of the views' embeddings; shorter than 1.
        lengths: (N,) float32, of the means.
    """

    images: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint64]
    means: Floats
    lengths: Floats

    def rows(self, image: str) -> slice:
        """The rows of an image; none if it has no masks."""
        try:
            place = self.images.index(image)
        except ValueError:
            return slice(0, 0)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def name(self, row: int) -> tuple[str, int]:
        """Image and mask id of a row."""
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.images[place], int(self.ids[row])

    def like_text(self, text: Floats, count: int) -> list[tuple[int, float]]:
        """The rows most similar to a text's embedding, (D,) of length 1, and their similarities.

        The similarity is that of scores.parquet: the weighted mean of the views' cosines.
        """
        return _best(np.clip(self.means @ text, -1, 1), count)

    def like_mask(self, row: int, count: int) -> list[tuple[int, float]]:
        """The rows whose means point in the direction most like that of `row`, itself among them.

        The similarity is the cosine of the two means.
        """
        cosines = self.means @ (self.means[row] / self.lengths[row])
        return _best(np.clip(cosines / self.lengths, -1, 1), count)


def _best(similarity: Floats, count: int) -> list[tuple[int, float]]:
    """The `count` greatest of (N,), of equals the first."""
    count = min(count, len(similarity))
    if not count:
        return []
    least = np.partition(similarity, -count)[-count]
    (rows,) = np.nonzero(similarity >= least)
    rows = rows[np.argsort(-similarity[rows], kind="stable")][:count]
    return [(int(row), float(similarity[row])) for row in rows]


def load(embeddings: Path, views: Sequence[str], weights: Sequence[float]) -> Vectors:
    """The vectors of embeddings.parquet, made first if the file or the weights have changed.

    Args:
        embeddings: the file.
        views: its views in order.
        weights: of each view; only their ratios count.

    Raises:
        UserError: the file is missing or damaged, or has other views.
    """
    status = embeddings.stat() if embeddings.is_file() else None
    stamp = status and [status.st_ino, status.st_size, status.st_mtime_ns]
    note = {"version": VERSION, "stamp": stamp, "views": list(views), "weights": list(weights)}
    folder = cache.root() / "explore" / cache.key(str(embeddings.resolve()))[:16]
    known = _note(folder)
    if known is None or any(known.get(key) != value for key, value in note.items()):
        _make(embeddings, views, weights, folder, note)
        known = _note(folder) or {}
    count, dimensions = known["shape"]
    return Vectors(
        images=tuple(known["images"]),
        starts=np.array(known["starts"], np.int64),
        ids=_map(folder / "ids", np.uint64, (count,)),
        means=_map(folder / "means", np.float32, (count, dimensions)),
        lengths=_map(folder / "lengths", np.float32, (count,)),
    )


def _make(
    embeddings: Path,
    views: Sequence[str],
    weights: Sequence[float],
    folder: Path,
    note: dict[str, Any],
) -> None:
    images, starts, dimensions = [], [0], embedding_table.dimensions(embeddings)
    with files.replacing_folder(folder) as temporary:
        with (
            (temporary / "ids").open("wb") as ids,
            (temporary / "means").open("wb") as means,
            (temporary / "lengths").open("wb") as lengths,
        ):
            for stack in mask_embeddings.read(embeddings, views):
                mean = similarity.mean_view(stack.embeddings, weights)
                ids.write(stack.ids.tobytes())
                means.write(mean.tobytes())
                lengths.write(np.linalg.norm(mean, axis=1).astype(np.float32).tobytes())
                images.append(stack.image)
                starts.append(starts[-1] + len(stack.ids))
        document = {**note, "images": images, "starts": starts, "shape": [starts[-1], dimensions]}
        (temporary / _NOTE).write_text(json.dumps(document), encoding="utf-8")


def _note(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _map(path: Path, kind: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array in a file; an empty file cannot be mapped."""
    if not shape[0]:
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", shape=shape)
