"""metrics: predictions of the test part against the ground truth -> metrics/metrics.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import cli, evaluation, files, ground_truth, mask_store, params, sources, splits
from retrieval.errors import UserError
from retrieval.ground_truth import GroundTruth
from retrieval.masks import ImagePredictions, pack

PREDICTIONS = Path("data/predictions.zarr")
METRICS = Path("metrics/metrics.json")


class Params(params.Section):
    """What params.yaml says to this stage."""

    ground_truth: GroundTruth
    calibration: splits.Patterns


def run(predictions: Path, metrics: Path, settings: Params) -> str:
    """Write `metrics`; the closing line. Without ground truth only images and masks are counted.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    truth = settings.ground_truth
    with mask_store.Store(predictions) as store:
        reported = splits.test_part(store.images(), settings.calibration)
        images = mask_store.shard_order(reported)
        label_maps = ground_truth.pair(images, truth.folder, truth.pattern)
        classes = store.read_predictions(images[0]).classes
        if label_maps:
            ground_truth.expect_classes(classes, truth.labels)
        masks, chosen, agreements = 0, np.zeros(len(classes), np.int64), []
        for image in cli.progress(images, len(images), "metrics"):
            prediction = store.read_predictions(image)
            if prediction.classes != classes:
                raise UserError(f"{predictions} holds predictions of several runs: run `dvc repro`")
            masks += prediction.mask_count
            chosen += prediction.chosen
            if label_maps:
                agreements.append(compare(prediction, label_maps[image], truth))
    figures = evaluation.report(agreements, classes) if agreements else {}
    tree = {"images": len(images), "masks": masks, **figures}
    tree["classes"] = {
        name: {"masks": int(count), **figures.get("classes", {}).get(name, {})}
        for name, count in zip(classes, chosen, strict=True)
    }
    files.write_file(metrics, (json.dumps(tree, indent=2) + "\n").encode())
    return closing_line(tree, truth)


def compare(
    prediction: ImagePredictions, label_map: sources.File, truth: GroundTruth
) -> evaluation.Agreement:
    """Count one image's pixels, for each class of the prediction."""
    labels = ground_truth.read_labels(label_map, truth.palette)
    ground_truth.expect_shape(
        labels, prediction.height, prediction.width, label_map, prediction.image
    )
    planes = ground_truth.class_planes(labels, prediction.classes, truth.labels)
    return evaluation.agreement(prediction.masks, pack(planes), prediction.width)


def closing_line(tree: dict[str, Any], truth: GroundTruth) -> str:
    """What was measured, and which classes no image shows, so that they are in no mean."""
    figures = tree["classes"]
    if not any("images_with_class" in each for each in figures.values()):
        counts = f"{tree['images']} images, {tree['masks']} masks"
        return f"metrics: {counts}; no ground truth in {truth.folder}, so nothing else"
    shown = [name for name in figures if "mean_image_iou" in figures[name]]
    absent = [name for name in figures if name not in shown]
    parts = [f"{name} {figures[name]['mean_image_iou']:.4f}" for name in shown]
    line = f"metrics: mean IoU over the images that show the class: {', '.join(parts) or 'none'}"
    return line + (f"; no image shows {', '.join(absent)}: left out" if absent else "")


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(PREDICTIONS, METRICS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
