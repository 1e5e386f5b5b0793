"""predictions: per class the union of the masks above the threshold -> data/predictions.zarr.

The classes and their order are those of scores.parquet. Masks and scores meet by image and mask id,
never by position.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from retrieval import cli, mask_store, params, score_table, scoring
from retrieval.errors import UserError
from retrieval.masks import ImagePredictions

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
PREDICTIONS = Path("data/predictions.zarr")


class Params(params.Section):
    """What params.yaml says to this stage."""

    threshold: Annotated[float, pydantic.Field(ge=-1, le=1)]


def run(masks: Path, scores: Path, predictions: Path, settings: Params) -> str:
    """Write the store `predictions`; the closing line.

    Raises:
        UserError: an input is missing or damaged, or masks and scores are not of one run.
    """
    table = score_table.read(scores)
    with mask_store.Store(masks) as store:
        images = mask_store.shard_order(store.images())
        if unknown := table.images.keys() - set(images):
            raise _stale(masks, min(unknown))
        planes = (
            predict(store, image, table, settings.threshold)
            for image in cli.progress(images, len(images), "predictions")
        )
        mask_store.write(predictions, planes)
    names = ", ".join(table.classes)
    return f"predictions: {len(images)} images, similarity above {settings.threshold:g}: {names}"


def predict(
    store: mask_store.Store, image: str, table: score_table.Scores, threshold: float
) -> ImagePredictions:
    """One image's planes: zeros where no mask is chosen."""
    size, ids = store.attributes(image), store.array(image, "ids")
    shape = (len(table.classes), size["height"], -(-size["width"] // 8))
    scored = table.images.get(image) or score_table.ImageScores(
        np.empty(0, np.uint64), np.empty((0, len(table.classes)), np.float32)
    )
    rows = scoring.locate(ids, scored.ids)
    if rows is None:
        raise _stale(store.folder, image)
    chosen = scoring.select(scored.similarity[rows], threshold)
    planes = np.zeros(shape, np.uint8)
    if chosen.any():  # else nothing is worth reading the masks for
        masks = store.array(image, "masks")
        planes = np.stack([scoring.union(masks, column) for column in chosen.T])
    return ImagePredictions(
        image=image,
        height=size["height"],
        width=size["width"],
        classes=table.classes,
        masks=planes,
        mask_count=len(ids),
        chosen=tuple(chosen.sum(axis=0).tolist()),
    )


def _stale(masks: Path, image: str) -> UserError:
    return UserError(
        f"the scores and {masks} do not hold the same masks of image {image!r}: run `dvc repro`"
    )


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, PREDICTIONS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
