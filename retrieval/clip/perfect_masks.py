"""Perfect masks, the objects of the ground truth, labelled as our own masks are."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from retrieval import cells, curves, ground_truth, per_image, regions, sources
from retrieval.clip import work
from retrieval.clip.labels import Origin
from retrieval.curves import ImageCurve
from retrieval.ground_truth import GroundTruth
from retrieval.mask_store import Store, shard_order, write
from retrieval.masks import ImageMasks, image_masks, pack
from retrieval.per_image import Tally


def object_curves(
    store: Store,
    origin: Origin,
    paths: Mapping[str, sources.File],
    truth: GroundTruth,
    tally: Tally,
) -> Iterator[tuple[str, list[ImageCurve]]]:
    """For each image what every threshold makes of the ground truth's objects, for each class.

    Args:
        store: our masks, which say what images there are.
        origin: how scores came from our masks.
        paths: of the images.
        truth: where the ground truth is.
        tally: filled while this runs.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    recipe, everything = origin.recipe(origin.prompts), shard_order(store.images())
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
        own = work.Work(objects, paths, origin.model, origin.crops)
        for image, parts in per_image.results(
            everything, own.look, own.compute, side_cache, tally, threads=1
        ):
            group = objects.read(image)
            _, score = recipe.score(work.stacked(parts), group.predicted_iou, group.stability_score)
            true = ground_truth.true_planes(
                label_maps[image], truth, tuple(origin.prompts), image, group.height, group.width
            )
            yield (
                image,
                [
                    curves.image_curve(group.masks, column, plane)
                    for column, plane in zip(score.T, true, strict=True)
                ],
            )
        per_image.expect_success(tally, "fail", "")


def objects_of(store: Store, image: str, label_map: sources.File, truth: GroundTruth) -> ImageMasks:
    """The ground truth's objects as if they were our masks: connected regions of one label.

    Labels of no class have objects, too, which may be taken for one; specks are left out.
    """
    about = store.attributes(image)
    height, width = about["height"], about["width"]
    values = ground_truth.labels_of(label_map, truth, image, height, width)
    found = [pack(mask) for value in np.unique(values) for mask in regions.regions(values == value)]
    stack = np.array(found, np.uint8).reshape(-1, height, -(-width // 8))
    sure = np.ones(len(found))
    return image_masks(
        image,
        width,
        stack,
        predicted_iou=sure,
        stability_score=sure,
        points=np.zeros((len(found), 2)),
        attributes={"sha256": about["sha256"]},
    )
