"""oracle: how good could the answer be, with better labels or with better masks?

metrics/oracle.json has for each class the mean, over the images of the test split that show it, of
the IoU that is reached

- labels: with oracle labels: by the best union of SAM's masks, see `evaluation.oracles`;
- masks: with oracle masks: the objects of the ground truth are shown to CLIP and scored as SAM's
  masks are, and belong to the class above the threshold that is best on the calibration split
  (without one: on the test split);
- threshold: by SAM's masks and CLIP's labels, at the threshold that is best on these very images.

- auroc: and how well the score of an image's best mask tells whether the image shows the class: the
  area under the ROC curve over the images, see `evaluation.presence`.

None depends on the param `threshold`. An object is a connected region of one label, whether or not
a class has the label, and neither void nor a speck, see `evaluation.regions`. Torch is loaded only
for images or prompts that are new.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from maskquery.clip import job
from maskquery.core import console, files, params
from maskquery.evaluation import curves, ground_truth, oracles, perfect_masks, presence, splits
from maskquery.evaluation.census import Census
from maskquery.evaluation.counts import DIGITS
from maskquery.evaluation.curves import ImageCurve
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.evaluation.scored_masks import read_scored_masks
from maskquery.images import image_files, sources
from maskquery.jobs import cells, local
from maskquery.jobs.stats import RunStats
from maskquery.masks import mask_store
from maskquery.masks.mask_store import MaskStore
from maskquery.scoring import rescoring
from maskquery.scoring.rescoring import Origin
from maskquery.selection.rules import Selection
from maskquery.tables import score_table

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
ORACLE = Path("metrics/oracle.json")


class Params(params.Section):
    """What params.yaml says to this stage."""

    images: params.Folder
    ground_truth: GroundTruth
    calibration: splits.Patterns
    selection: Selection


def run(masks: Path, scores: Path, output: Path, settings: Params) -> str:
    """Write the file `output`; the closing line. Without ground truth it names the classes only.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    table, truth = score_table.read(scores), settings.ground_truth
    by_class: dict[str, dict[str, float]] = {name: {} for name in table.classes}
    stats, census = RunStats(0), truth.census()
    with mask_store.MaskStore(masks) as store, cells.exclusive_output(output):
        everything = mask_store.shard_order(store.images())
        reported = splits.test_split(everything, settings.calibration)
        known = bool(ground_truth.pair(everything, truth.folder, truth.pattern))
        if known:
            add(by_class, oracle_labels_and_threshold(store, table, reported, settings, census))
            add(by_class, oracle_masks_iou(store, rescoring.read_origin(scores), stats, settings))
        files.write_json(output, {"classes": by_class})
        cells.record(output, job.KIND, stats.cell_keys)
    if not known:
        return f"oracle: no ground truth in {truth.folder}, so none"
    return closing_line(by_class) + census.clause()


Figures = Mapping[str, Mapping[str, float]]


def add(by_class: dict[str, dict[str, float]], figures: Figures) -> None:
    """Add to each class's figures those that have a value."""
    for name, values in figures.items():
        by_class[name] |= {key: round(v, DIGITS) for key, v in values.items() if not np.isnan(v)}


def oracle_labels_and_threshold(
    store: MaskStore,
    table: score_table.Scores,
    reported: Sequence[str],
    settings: Params,
    census: Census,
) -> Figures:
    """The metrics `labels`, `threshold` and `auroc` of each class."""
    unions: list[list[float]] = [[] for _ in table.classes]
    all_curves: list[list[ImageCurve]] = []
    known: list[bool] = []  # all but those that are all void
    scored = read_scored_masks(
        store, table, reported, settings.ground_truth, settings.selection, census
    )
    for image in console.progress(scored, len(reported), "oracle"):
        all_curves.append(image.curves())
        known.append(image.pixels > 0)
        for index in np.flatnonzero(image.true.any(axis=(1, 2))):
            unions[index].append(oracles.best_union(image.masks, image.true[index]))
    result = {}
    for place, name in enumerate(table.classes):
        of_class = [each[place] for each in all_curves]
        scores = np.array([curve.best_score for curve in of_class])
        shown = np.array([curve.true > 0 for curve in of_class])
        result[name] = {
            "labels": float(np.mean(unions[place])) if unions[place] else float("nan"),
            "threshold": curves.mean_image_iou(of_class).best()[1],
            "auroc": presence.auroc(scores[known], shown[known]),
        }
    return result


def oracle_masks_iou(
    store: MaskStore, origin: Origin, stats: RunStats, settings: Params
) -> Figures:
    """The metric `masks` of each class."""
    reported = set(splits.test_split(store.images(), settings.calibration))
    paths = image_files.find(settings.images)
    test: list[list[ImageCurve]] = []
    other: list[list[ImageCurve]] = []
    for image, of_image in object_curves(store, origin, paths, settings.ground_truth, stats):
        (test if image in reported else other).append(of_image)
    result = {}
    for index, name in enumerate(origin.prompts):
        curve = curves.mean_image_iou([each[index] for each in test])
        chosen_on = curves.mean_image_iou([each[index] for each in other])
        threshold = (curve if np.isnan(chosen_on.without) else chosen_on).best()[0]
        result[name] = {"masks": curve.at(threshold)}
    return result


def object_curves(
    store: MaskStore,
    origin: Origin,
    paths: Mapping[str, sources.File],
    truth: GroundTruth,
    stats: RunStats,
) -> Iterator[tuple[str, list[ImageCurve]]]:
    """For each image what every threshold makes of the ground truth's objects, for each class.

    Args:
        store: our masks, which say what images there are.
        origin: how scores came from our masks.
        paths: of the images.
        truth: where the ground truth is.
        stats: filled while this runs.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    scorer, everything = origin.scorer(origin.prompts), mask_store.shard_order(store.images())
    label_maps = ground_truth.pair(everything, truth.folder, truth.pattern)
    stats.requested = len(everything)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), "objects.zarr")
        MaskStore.write(
            folder,
            (
                perfect_masks.objects_of(store, image, label_maps[image], truth)
                for image in everything
            ),
        )
        clip_job = job.Description(folder, origin.model, origin.crops).open()
        objects = stack.enter_context(clip_job.store)
        stack.enter_context(stats.interruptible())
        for result in local.results(clip_job, everything, paths, stats):
            image = result.image
            group = objects.read(image)
            _, score = scorer.score(
                job.stack_views(result.parts), group.predicted_iou, group.stability_score
            )
            true = ground_truth.true_planes(
                label_maps[image], truth, tuple(origin.prompts), image, group.height, group.width
            )
            yield (
                image,
                [
                    curves.image_curve(group.masks, column, plane)
                    for column, plane in zip(score.T, true.classes, strict=True)
                ],
            )
        stats.expect_success("fail", "")


def closing_line(by_class: Figures) -> str:
    """The means over the classes."""
    parts = []
    for key in ("labels", "masks", "threshold"):
        values = [row[key] for row in by_class.values() if key in row]
        parts.append(f"{key} {np.mean(values):.4f}" if values else f"{key} unknown")
    return f"oracle: mean IoU over the classes: {', '.join(parts)}"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, ORACLE, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
