"""What does not fit in a project: params, images and ground truth, by names and headers alone."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from maskquery.checking.lock_file import expect_lock_file
from maskquery.clip import prompts as clip_prompts
from maskquery.clip.settings import ClipParams
from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import curve_tables, ground_truth, label_maps, splits
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.images import image_files
from maskquery.images.sources import File
from maskquery.review.changes import Review
from maskquery.sam.settings import SamParams
from maskquery.scoring import class_embeddings
from maskquery.scoring.run import Classes
from maskquery.selection.rules import Selection
from maskquery.selection.thresholds import Threshold

SIZES = 1000
"""Images whose size is compared with their label map's, evenly spread over all."""


class Params(params.Section):
    """What the stages read of params.yaml, but for what only one of them knows."""

    threshold: Threshold
    images: params.Folder
    sam: SamParams
    clip: ClipParams
    scores: class_embeddings.Settings
    classes: Classes
    detailed_prompts: dict[params.Text, tuple[params.Text, ...]]
    selection: Selection
    ground_truth: GroundTruth
    calibration: splits.Patterns
    review: Review


def problems() -> Iterator[str]:
    """What is wrong with the project in the current folder, a line each."""
    try:
        expect_lock_file()
    except UserError as error:
        yield str(error)
    try:
        settings = params.load(Params)
    except UserError as error:
        yield str(error)
        return
    checks: list[Callable[[Params], object]] = [
        expect_views,
        expect_prompts,
        expect_overlays,
        expect_truth,
    ]
    for check in checks:
        try:
            check(settings)
        except (UserError, OSError) as error:
            yield str(error)


def expect_views(settings: Params) -> None:
    """Refuse weights of other views than those that are embedded."""
    class_embeddings.in_order(settings.scores.view_weights, settings.clip.views)


def expect_prompts(settings: Params) -> None:
    """Refuse names of classes that a table has for something else, and too long prompts."""
    curve_tables.expect_names(tuple(settings.classes))
    model, templates = settings.clip.model, settings.scores.templates
    for section in ("classes", "detailed_prompts"):
        for name, prompts in getattr(settings, section).items():
            clip_prompts.expect_short(model, prompts, templates, f"{section}.{name}")
    negatives = settings.scores.negative_prompts
    clip_prompts.expect_short(model, negatives, templates, "scores.negative_prompts")


def expect_overlays(settings: Params) -> None:
    """Refuse panels of a class that there is not."""
    section: Mapping[str, Any] = params.read(params.PARAMS_FILE).get("overlays") or {}
    name = section.get("class")
    if name is not None and name not in settings.classes:
        raise UserError(
            f"{params.PARAMS_FILE}: overlays.class is {name!r}; it must be one of "
            f"{', '.join(settings.classes)}"
        )


def expect_truth(settings: Params) -> None:
    """Refuse images and ground truth that cannot be read, or do not fit each other.

    Raises:
        UserError: a source holds what is no file, no image is there, a label map is missing or of
            another size, or the classes with labels are not those with prompts.
    """
    images, truth = image_files.find(settings.images), settings.ground_truth
    maps = ground_truth.pair(images, truth.folder, truth.pattern)
    if not maps:
        return
    ground_truth.expect_classes(tuple(settings.classes), truth.labels)
    splits.test_split(images, settings.calibration)
    for image in list(images)[:: max(1, len(images) // SIZES)]:
        _expect_size(image, images[image], maps[image])


def _expect_size(image: str, file: File, label_map: File) -> None:
    try:
        height, width = label_maps.read_shape(file)
    except UserError:
        return  # `masks` counts it as failed, and `on_error` says what follows
    shape = label_maps.read_shape(label_map)
    ground_truth.expect_shape(shape, height, width, label_map, image)
