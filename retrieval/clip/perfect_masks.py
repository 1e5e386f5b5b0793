"""Perfect masks, the objects of the ground truth, labelled as our own masks are."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from retrieval import cells, curves, ground_truth, per_image, regions
from retrieval.clip import labels, work
from retrieval.clip.labels import Recipe
from retrieval.curves import ImageCurve
from retrieval.ground_truth import GroundTruth
from retrieval.mask_store import Store, shard_order, write
from retrieval.masks import ImageMasks, image_masks, pack
from retrieval.per_image import Tally
from retrieval.scored_masks import true_planes


def object_curves(
    store: Store, recipe: Recipe, paths: Mapping[str, Path], truth: GroundTruth, tally: Tally
) -> Iterator[tuple[str, list[ImageCurve]]]:
    """For each image what every threshold makes of the ground truth's objects, for each class.

    Args:
        store: our masks, which say what images there are.
        recipe: how scores come from masks.
        paths: of the images.
        truth: where the ground truth is.
        tally: filled while this runs.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    classes, everything = labels.encode(recipe, recipe.prompts), shard_order(store.images())
    label_maps = ground_truth.pair(everything, truth.folder, truth.pattern)
    side_cache = cells.Cells(work.KIND)
    tally.asked = len(everything)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), "objects.zarr")
        write(
            folder,
            (objects_of(store, image, label_maps[image], truth) for image in everything),
        )
        objects = stack.enter_context(Store(folder))
        stack.enter_context(tally.interruptible())
        own = work.Work(objects, paths, recipe.model, recipe.settings)
        for image, parts in per_image.results(
            everything, own.look, own.compute, side_cache, tally, threads=1
        ):
            group = objects.read(image)
            score = labels.score(recipe, work.stacked(parts), classes)
            true = true_planes(
                label_maps[image], truth, tuple(recipe.prompts), image, group.height, group.width
            )
            yield (
                image,
                [
                    curves.image_curve(group.masks, column, plane)
                    for column, plane in zip(score.T, true, strict=True)
                ],
            )
        per_image.expect_success(tally, "fail", "")


def objects_of(store: Store, image: str, label_map: Path, truth: GroundTruth) -> ImageMasks:
    """The ground truth's objects as if they were our masks: connected regions of one label.

    Labels of no class have objects, too, which may be taken for one; specks are left out.
    """
    about = store.attributes(image)
    values = ground_truth.read_labels(label_map, truth.palette)
    ground_truth.expect_shape(values, about["height"], about["width"], label_map, image)
    found = [mask for value in np.unique(values) for mask in regions.regions(values == value)]
    stack = pack(np.array(found, np.bool_).reshape(-1, *values.shape))
    sure = np.ones(len(found))
    return image_masks(
        image,
        about["width"],
        stack,
        predicted_iou=sure,
        stability_score=sure,
        points=np.zeros((len(found), 2)),
        attributes={"sha256": about["sha256"]},
    )
