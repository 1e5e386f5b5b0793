"""predictions: per class the pixels of the masks above the threshold -> data/predictions.zarr.

The classes and their order are those of scores.parquet. Masks and scores meet by image and mask id,
never by position.
"""

from pathlib import Path

import numpy as np

from retrieval import cli, mask_store, params, score_table, scoring, selection, thresholds
from retrieval.masks import ImageMasks, ImagePredictions, Packed
from retrieval.selection import Bools, Floats, Selection
from retrieval.thresholds import CALIBRATED, COMMON, Threshold

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
THRESHOLDS = Path("metrics/thresholds.json")
PREDICTIONS = Path("data/predictions.zarr")


class Params(params.Section):
    """What params.yaml says to this stage."""

    threshold: Threshold
    selection: Selection


def run(masks: Path, scores: Path, calibrated: Path, predictions: Path, settings: Params) -> str:
    """Write the store `predictions`; the closing line.

    Args:
        masks: a store.
        scores: a table.
        calibrated: thresholds.json, read only if the threshold is one of those in it.
        predictions: a store, replaced.
        settings: see there.

    Raises:
        UserError: an input is missing or damaged, or masks and scores are not of one run.
    """
    table, rule = score_table.read(scores), settings.threshold
    known = None
    if rule in (CALIBRATED, COMMON):
        known = thresholds.read(calibrated, str(rule), table.classes)
    with mask_store.Store(masks) as store:
        images = mask_store.shard_order(store.images())
        if unknown := table.images.keys() - set(images):
            raise score_table.stale(masks, min(unknown))
        planes = (
            predict(store, image, table, settings, known)
            for image in cli.progress(images, len(images), "predictions")
        )
        mask_store.write(predictions, planes)
    names = ", ".join(table.classes)
    word = rule if isinstance(rule, str) else f"{rule:g}"
    return f"predictions: {len(images)} images, threshold {word}: {names}"


def predict(
    store: mask_store.Store,
    image: str,
    table: score_table.Scores,
    settings: Params,
    known: Floats | None,
) -> ImagePredictions:
    """One image's planes: zeros where no mask is chosen.

    Args:
        store: the masks.
        image: its id.
        table: the scores.
        settings: of the stage.
        known: (C,) thresholds that hold for all images, if `thresholds.read` gave them.
    """
    size, ids = store.attributes(image), store.array(image, "ids")
    planes = np.zeros((len(table.classes), size["height"], -(-size["width"] // 8)), np.uint8)
    score = table.of(image, ids, store.folder)
    chosen = scoring.select(score, thresholds.of_image(settings.threshold, score, known))
    if chosen.any():  # else nothing is worth reading the masks for
        group = store.read(image)
        chosen = selection.eligible(group, score, chosen, settings.selection)
        planes = draw(group, chosen, settings.selection)
    order = [
        column.nonzero()[0][np.argsort(-score[column, c], kind="stable")]
        for c, column in enumerate(chosen.T)
    ]
    return ImagePredictions(
        image=image,
        height=size["height"],
        width=size["width"],
        classes=table.classes,
        masks=planes,
        mask_count=len(ids),
        chosen=tuple(map(len, order)),
        ids=np.concatenate([ids[own] for own in order]),
        scores=np.concatenate([score[own, c] for c, own in enumerate(order)]),
    )


def draw(group: ImageMasks, chosen: Bools, settings: Selection) -> Packed:
    """The planes of the chosen masks, (N, C) bool: (C, H, W8) packed bits."""
    (rows,) = np.nonzero(chosen.any(axis=1))
    masks, own = selection.refined(group, rows, settings), chosen[rows]
    if settings.exclusive == "pixels":
        return selection.exclusive_planes(masks, group.areas[rows], own)
    return np.stack([scoring.union(masks, column) for column in own.T])


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, THRESHOLDS, PREDICTIONS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
