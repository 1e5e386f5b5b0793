"""Pictures of the images that a change made better or worse, before and after."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth, panels
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.images import image_files, sources
from maskquery.masks import mask_store
from maskquery.review import history
from maskquery.review.changes import ImageChange
from maskquery.review.predictions import PredictionChange

PREDICTIONS = Path("data/predictions.zarr")

Change = ImageChange | PredictionChange


class Params(params.Section):
    """Where the images and their ground truth are."""

    images: params.Folder
    ground_truth: GroundTruth


def fetch_predictions(base: str, folder: Path) -> Path | None:
    """The predictions of the commit `base`, from DVC's cache.

    None if it does not hold them, or a version made them that wrote no manifest.
    """
    target = folder / "base-predictions.zarr"
    done = history.dvc("get", ".", PREDICTIONS.as_posix(), "--rev", base, "--out", str(target),
                       "--force")  # fmt: skip
    readable = not done.returncode and (target / mask_store.MANIFEST).exists()
    return target if readable else None


def draw(selected: Sequence[Change], before: Path, folder: Path) -> list[Path]:
    """One picture for each change: the base's panel above, today's below.

    Where the base lacks image or class, or the image had another size, today's stands alone.

    Args:
        selected: what to show.
        before: the base's predictions.
        folder: gets the pictures.

    Raises:
        UserError: an input is missing or damaged.
    """
    settings = params.load(Params)
    paths_by_image = image_files.find(settings.images)
    written = []
    with mask_store.PredictionStore(before) as old, mask_store.PredictionStore(PREDICTIONS) as new:
        for change in selected:
            if change.image not in paths_by_image:
                raise UserError(
                    f"{settings.images} has no image {change.image!r}", "run `dvc repro`"
                )
            stores = {"now": new}
            if _is_comparable(old, new, change):
                stores = {"before": old, "now": new}
            sheets = [
                _panel(
                    store, change, settings, paths_by_image[change.image], f"{when}: {change.image}"
                )
                for when, store in stores.items()
            ]
            path = folder / panels.file_name(f"{change.class_name}\0{change.image}")
            _stack(sheets).save(path, quality=panels.QUALITY)
            written.append(path)
    return written


def _panel(
    store: mask_store.PredictionStore,
    change: Change,
    settings: Params,
    path: sources.File,
    title: str,
) -> Image.Image:
    prediction = store.read(change.image)
    truth = settings.ground_truth
    label_maps = ground_truth.pair([change.image], truth.folder, truth.pattern)
    height, width, name = prediction.height, prediction.width, change.class_name
    true = None
    if label_maps:
        label_map = label_maps[change.image]
        true = ground_truth.true_planes(label_map, truth, (name,), change.image, height, width)
    predicted = prediction.masks[prediction.classes.index(name)]
    return panels.panel_of(image_files.read(path), predicted, true, name, title)


def _is_comparable(
    old: mask_store.PredictionStore,
    new: mask_store.PredictionStore,
    change: Change,
) -> bool:
    """Whether the base has the image, of the same size, and the class."""
    if change.image not in set(old.images()):
        return False
    before, now = old.read(change.image), new.read(change.image)
    same_size = (before.height, before.width) == (now.height, now.width)
    return same_size and change.class_name in before.classes


def _stack(sheets: Sequence[Image.Image]) -> Image.Image:
    width, height = max(s.width for s in sheets), sum(s.height for s in sheets)
    whole = Image.new("RGB", (width, height), (255, 255, 255))
    y = 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height
    return whole
