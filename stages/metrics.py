"""metrics: predictions of the test split against the ground truth -> metrics/metrics.json.

metrics.json holds the dozen figures to compare first, details.json all of them, and images.csv what
they are made of: the pixels counted of each image and class. confusion.csv has the pixels by true
and predicted class.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskquery.core import console, files, params
from maskquery.core.errors import UserError
from maskquery.core.threads import in_order
from maskquery.evaluation import breakdown, counts, ground_truth, report, semantic, splits
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.census import Census
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.images import sources
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions

PREDICTIONS = Path("data/predictions.zarr")
ORACLE = Path("metrics/oracle.json")
METRICS = Path("metrics/metrics.json")
DETAILS = Path("metrics/details.json")
IMAGES = Path("metrics/images.csv")
CONFUSION = Path("metrics/confusion.csv")


class Params(params.Section):
    """What params.yaml says to this stage."""

    ground_truth: GroundTruth
    calibration: splits.Patterns


class Outputs(NamedTuple):
    """Where the results go."""

    metrics: Path
    details: Path
    images: Path
    confusion: Path


def run(predictions: Path, oracle: Path, outputs: Outputs, settings: Params) -> str:
    """Write the outputs; the closing line.

    Without ground truth only images and masks are counted, and the tables have no row. That of
    confusion has none either where two classes share a label.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    truth = settings.ground_truth
    with mask_store.PredictionStore(predictions) as store:
        reported = splits.test_split(store.images(), settings.calibration)
        images = mask_store.shard_order(reported)
        label_maps = ground_truth.pair(images, truth.folder, truth.pattern)
        classes = store.read(images[0]).classes
        if label_maps:
            ground_truth.expect_classes(classes, truth.labels)
        census = truth.census()
        masks, chosen, results = 0, np.zeros(len(classes), np.int64), {}
        matrix = np.zeros((len(classes) + 1,) * 2, np.int64)
        for prediction, outcome in compare_all(store, images, classes, label_maps, truth, census):
            if outcome:
                results[prediction.image], confusion = outcome
                matrix += confusion
            masks += prediction.mask_count
            chosen += prediction.chosen
    counts = dict(zip(classes, chosen.tolist(), strict=True))
    tree = {"classes": {name: {"masks": count} for name, count in counts.items()}}
    short: dict[str, Any] = {"images": len(images), "masks": masks}
    if results:
        upper_bounds = read_oracle(oracle, classes)
        tree = report.details(list(results.values()), classes, upper_bounds, matrix)
        for name, count in counts.items():
            tree["classes"][name] = {"masks": count, **tree["classes"][name]}
        short |= report.summary(tree, classes[0])
    files.write_json(outputs.metrics, short)
    files.write_json(outputs.details, tree)
    files.write_file(outputs.images, image_table(results, classes).encode())
    files.write_file(outputs.confusion, semantic.confusion_table(matrix, classes).encode())
    return closing_line(short, tree, truth) + census.clause()


def compare_all(
    store: mask_store.PredictionStore,
    images: Sequence[str],
    classes: Sequence[str],
    label_maps: Mapping[str, sources.File],
    truth: GroundTruth,
    census: Census,
) -> Iterator[tuple[ImagePredictions, tuple[ImageResult, counts.Counts] | None]]:
    """The predictions, in the order of the images, with what is counted where it has a label map.

    That is the result and the confusion matrix, which is 0 where two classes share a label.
    `census` counts the labels.

    Raises:
        UserError: predictions are of other classes, or an input is damaged or does not fit.
    """
    measurable, size = semantic.is_measurable(truth), len(classes) + 1

    def result(prediction: ImagePredictions) -> tuple[ImageResult, counts.Counts] | None:
        if prediction.classes != classes:
            raise UserError(f"{store.folder} holds predictions of several runs", "run `dvc repro`")
        if prediction.image not in label_maps:
            return None
        image, height, width = prediction.image, prediction.height, prediction.width
        path = label_maps[image]
        true = ground_truth.true_planes(path, truth, classes, image, height, width, census)
        confusion = np.zeros((size, size), np.int64)
        if measurable:
            confusion = semantic.confusion(prediction.masks, true, width)
        return breakdown.compare(prediction.masks, true, width), confusion

    futures = in_order(result, map(store.read, images))
    for prediction, future in console.progress(futures, len(images), "metrics"):
        yield prediction, future.result()


def read_oracle(path: Path, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """What the stage `oracle` found for each class."""
    try:
        by_class: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))[
            "classes"
        ]
        if list(by_class) == list(classes):
            return by_class
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} is missing, damaged or of other classes", "run `dvc repro`")


def image_table(results: Mapping[str, ImageResult], classes: Sequence[str]) -> str:
    """CSV, a row for each image and class that is true or predicted anywhere in it.

    Sorted by image, classes in their order. `iou` is empty where the image does not show the class:
    what is predicted there are false positives, and enters no mean. The rest are numbers of pixels.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "class", "iou", "tp", "fp", "fn"])
    for image, result in sorted(results.items()):
        pixels_of = result.counts
        for index, iou in enumerate(counts.iou(pixels_of).round(counts.DIGITS).tolist()):
            pixels = [int(n[index]) for n in (pixels_of.tp, pixels_of.fp, pixels_of.fn)]
            if any(pixels):
                shown = iou if pixels_of.true[index] else ""
                writer.writerow([image, classes[index], shown, *pixels])
    return text.getvalue()


def closing_line(short: dict[str, Any], tree: dict[str, Any], truth: GroundTruth) -> str:
    """What was measured, and which classes no image shows, so that they are in no mean."""
    if "overall" not in tree:
        counts = f"{short['images']} images, {short['masks']} masks"
        return f"metrics: {counts}; no ground truth in {truth.folder}, so nothing else"
    figures = tree["classes"]
    shown = [name for name in figures if "mean_image_iou" in figures[name]]
    absent = [name for name in figures if name not in shown]
    parts = [f"{name} {figures[name]['mean_image_iou']:.4f}" for name in shown]
    line = f"metrics: mean IoU over the images that show the class: {', '.join(parts) or 'none'}"
    if absent:
        line += f"; no image shows {', '.join(absent)}: left out"
    return line if semantic.is_measurable(truth) else f"{line}; classes share labels, so no miou"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    outputs = Outputs(METRICS, DETAILS, IMAGES, CONFUSION)
    return run(PREDICTIONS, ORACLE, outputs, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
