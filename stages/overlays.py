"""overlays: some images with their ground truth and prediction, a panel each -> data/overlays."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from PIL import Image

from maskquery.core import console, files, params
from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth, panels, splits
from maskquery.evaluation.ground_truth import GroundTruth, TruePlanes
from maskquery.images import image_files, sources
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions

PREDICTIONS = Path("data/predictions.zarr")
TABLE = Path("metrics/images.csv")
OVERLAYS = Path("data/overlays")


class Overlays(params.Section):
    """How many panels, of which class, and of which images.

    Attributes:
        order: `name`: the first images by id that show the class; `worst`: those with the lowest
            IoU, false positive images among them.
        count: how many panels.
        class_: of which class.
    """

    order: Literal["name", "worst"]
    count: Annotated[int, pydantic.Field(ge=0, le=100)]
    class_: params.Text = pydantic.Field(alias="class")


class Params(params.Section):
    """What params.yaml says to this stage."""

    images: params.Folder
    ground_truth: GroundTruth
    calibration: splits.Patterns
    overlays: Overlays


def run(predictions: Path, table: Path, output: Path, settings: Params) -> str:
    """Fill the folder `output` with panels; the closing line.

    They are of images of the test split that show the class in the ground truth: the first by id,
    or those with the lowest IoU, of equals the first. An image that does not show it, and where it
    is predicted all the same, is among the latter, with an IoU of 0. Without ground truth they are
    simply the first.

    Args:
        predictions: the store.
        table: metrics/images.csv, the IoU of each image.
        output: is replaced.
        settings: how many, and which.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    name, count = settings.overlays.class_, settings.overlays.count
    paths = image_files.find(settings.images)
    with mask_store.PredictionStore(predictions) as store, files.replacing_folder(output) as folder:
        written = 0
        for prediction, true in islice(candidates(store, table, settings), count):
            if prediction.image not in paths:
                raise UserError(
                    f"{settings.images} has no image {prediction.image!r}", "run `dvc repro`"
                )
            panel = draw(prediction, true, paths[prediction.image], name)
            panel.save(folder / panels.file_name(prediction.image), quality=panels.QUALITY)
            written += 1
    return f"overlays: {written} panels of {name} in {output}"


def candidates(
    store: mask_store.PredictionStore, table: Path, settings: Params
) -> Iterator[tuple[ImagePredictions, TruePlanes | None]]:
    """Predictions in order, each with the pixels of the class alone, if known."""
    name, truth = settings.overlays.class_, settings.ground_truth
    reported = splits.test_split(store.images(), settings.calibration)
    label_maps = ground_truth.pair(reported, truth.folder, truth.pattern)
    classes = store.read(reported[0]).classes
    if name not in classes:
        raise UserError(f"overlays.class is {name!r}; it must be one of {', '.join(classes)}")
    if label_maps and name not in truth.labels:
        raise UserError(f"overlays.class is {name!r}, which ground_truth.labels does not have")
    worst = bool(label_maps) and settings.overlays.order == "worst"
    if worst:
        reported = worst_first(table, name, reported)
    for image in reported:
        prediction = store.read(image)
        if not label_maps:
            yield prediction, None
            continue
        height, width = prediction.height, prediction.width
        path = label_maps[image]
        true = ground_truth.true_planes(path, truth, (name,), image, height, width)
        if true.classes.any() or worst:
            yield prediction, true


def worst_first(table: Path, name: str, reported: Sequence[str]) -> list[str]:
    """The images that show the class or in which it is predicted, the lowest IoU first."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["class"] == name]
        ious = {row["image"]: float(row["iou"] or 0) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{table} is missing or damaged", "run `dvc repro`") from None
    if unknown := ious.keys() - set(reported):
        raise UserError(
            f"{table} and the predictions differ in {min(unknown)!r}", "run `dvc repro`"
        )
    return sorted(ious, key=lambda image: (ious[image], image))


def draw(
    prediction: ImagePredictions, true: TruePlanes | None, path: sources.File, name: str
) -> Image.Image:
    """The panel of one image, whose own file is `path`."""
    image = image_files.read(path)
    height, width = image.shape[:2]
    if (height, width) != (prediction.height, prediction.width):
        size = f"{prediction.width} x {prediction.height}"
        raise UserError(
            f"{path} is {width} x {height} pixels and its prediction {size}", "run `dvc repro`"
        )
    predicted = prediction.masks[prediction.classes.index(name)]
    return panels.panel_of(image, predicted, true, name, prediction.image)


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(PREDICTIONS, TABLE, OVERLAYS, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
