"""Masks above the threshold, united for each class: predictions.zarr.

The classes and their order are those of scores.parquet. Masks and scores meet by image and mask id,
never by position.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskquery.core import console
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, ImagePredictions, Packed, union
from maskquery.selection import rules
from maskquery.selection.rules import Bools, Floats, Selection
from maskquery.selection.thresholds import Threshold, above
from maskquery.tables import score_table


def write_predictions(
    masks: Path,
    scores: Path,
    calibrated: Path,
    predictions: Path,
    *,
    threshold: Threshold,
    selection: Selection,
) -> str:
    """Write the store `predictions`; the closing line.

    Args:
        masks: a store.
        scores: a table.
        calibrated: thresholds.json, read only if the threshold is one of those in it.
        predictions: a store, replaced.
        threshold: a number, or the name of a rule.
        selection: which masks may stand for a class, and what becomes of their pixels.

    Raises:
        UserError: an input is missing or damaged, or masks and scores are not of one run.
    """
    table = score_table.read(scores)
    limits = threshold.resolve(calibrated, table.classes)
    with mask_store.MaskStore(masks) as store:
        images = mask_store.shard_order(store.images())
        if unknown := table.images.keys() - set(images):
            raise score_table.stale_error(masks, min(unknown))
        planes = (
            predict(store, image, table, limits, selection)
            for image in console.progress(images, len(images), "predictions")
        )
        mask_store.PredictionStore.write(predictions, planes)
    names = ", ".join(table.classes)
    return f"predictions: {len(images)} images, threshold {threshold}: {names}"


def predict(
    store: mask_store.MaskStore,
    image: str,
    table: score_table.Scores,
    limits: Callable[[Floats], Floats],
    selection: Selection,
) -> ImagePredictions:
    """One image's planes: zeros where no mask is chosen.

    Args:
        store: the masks.
        image: its id.
        table: the scores.
        limits: the thresholds of an image, from its scores; see `Threshold.resolve`.
        selection: which masks may stand for a class.
    """
    columns = store.columns(image)
    ids, height, width = columns.ids, columns.height, columns.width
    planes = np.zeros((len(table.classes), height, -(-width // 8)), np.uint8)
    score = table.of(image, ids, store.folder)
    chosen = above(score, limits(score))
    if chosen.any():  # else nothing is worth reading the masks for
        group = store.read(image)
        chosen = rules.eligible(group, score, chosen, selection)
        planes = draw(group, chosen, selection)
    order = [
        column.nonzero()[0][np.argsort(-score[column, c], kind="stable")]
        for c, column in enumerate(chosen.T)
    ]
    return ImagePredictions(
        image=image,
        height=height,
        width=width,
        classes=table.classes,
        masks=planes,
        mask_count=len(ids),
        chosen=tuple(map(len, order)),
        ids=np.concatenate([ids[column] for column in order]),
        scores=np.concatenate([score[column, c] for c, column in enumerate(order)]),
    )


def draw(group: ImageMasks, chosen: Bools, settings: Selection) -> Packed:
    """The planes of the chosen masks, (N, C) bool: (C, H, W8) packed bits."""
    (rows,) = np.nonzero(chosen.any(axis=1))
    masks, chosen_rows = rules.refine(group, rows, settings), chosen[rows]
    if settings.exclusive == "pixels":
        return rules.exclusive_planes(masks, group.areas[rows], chosen_rows)
    return np.stack([union(masks, column) for column in chosen_rows.T])
