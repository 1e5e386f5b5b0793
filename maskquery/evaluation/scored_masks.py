"""Masks, their scores and the ground truth, put together by image and mask id."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from maskquery.core import console
from maskquery.evaluation import curves, ground_truth
from maskquery.evaluation.census import Census
from maskquery.evaluation.curves import ImageCurve, Scores
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import Packed
from maskquery.selection import rules
from maskquery.selection.rules import Bools, Selection
from maskquery.tables import score_table


@dataclass(frozen=True)
class ScoredMasks:
    """One image.

    Attributes:
        masks: (N, H, W8) packed bits, as `selection` refines them, without void pixels.
        scores: (N, C) float32, what a threshold is compared with.
        eligible: (N, C) bool, which may stand for which class.
        true: (C, H, W8) packed bits of the classes in the ground truth.
        pixels: of the image, void left out.
    """

    masks: Packed
    scores: Scores
    eligible: Bools
    true: Packed
    pixels: int

    def curves(self) -> list[ImageCurve]:
        """One for each class. Exclusive pixels, which depend on all thresholds, are left alone."""
        return [
            curves.image_curve(self.masks[kept], column[kept], plane)
            for kept, column, plane in zip(self.eligible.T, self.scores.T, self.true, strict=True)
        ]


def read_scored_masks(
    store: MaskStore,
    table: score_table.Scores,
    images: Sequence[str],
    truth: GroundTruth,
    settings: Selection,
    census: Census | None = None,
) -> Iterator[ScoredMasks]:
    """The images in their order; none if there is no ground truth. `census` counts their labels.

    Raises:
        UserError: an input is damaged, or does not fit the others.
    """
    label_maps = ground_truth.pair(images, truth.folder, truth.pattern)
    if label_maps:
        ground_truth.expect_classes(table.classes, truth.labels)
    for image in images if label_maps else ():
        group = store.read(image)
        true = ground_truth.true_planes(
            label_maps[image], truth, table.classes, image, group.height, group.width, census
        )
        scores = table.of(image, group.ids, store.folder)
        eligible = rules.eligible(group, scores, np.ones(scores.shape, np.bool_), settings)
        masks = true.without_void(rules.refine(group, slice(None), settings))
        yield ScoredMasks(masks, scores, eligible, true.classes, true.pixels(group.width))


def image_curves(
    store: MaskStore,
    table: score_table.Scores,
    images: Sequence[str],
    truth: GroundTruth,
    settings: Selection,
    desc: str,
    census: Census | None = None,
) -> Iterator[list[ImageCurve]]:
    """The curves of each class in each image, as `scored_masks`; `desc` names the progress bar."""
    scored = read_scored_masks(store, table, images, truth, settings, census)
    return (each.curves() for each in console.progress(scored, len(images), desc))
