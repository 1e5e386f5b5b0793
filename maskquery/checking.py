"""Told before DVC hashes anything and before SAM runs: what a night of work would end in.

    maskquery check             # tells what is wrong, and changes nothing
    maskquery check --mend      # also repairs a dvc.lock that a kill cut off; `make repro` does so

Only names and headers are read. DVC opens every file below the images and the ground truth, and
waits for ever where one is a pipe; a stage is told of a wrong label map only after all masks are
made.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskquery.clip.settings import ClipParams
from maskquery.core import console, files, git, params, yaml_text
from maskquery.core.arguments import Parser
from maskquery.core.errors import RERUN, UserError
from maskquery.evaluation import ground_truth, label_maps, splits
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.images import image_files
from maskquery.images.sources import File
from maskquery.review.changes import Review
from maskquery.sam.settings import SamParams
from maskquery.scoring import class_embeddings
from maskquery.scoring.run import Classes
from maskquery.selection.rules import Selection
from maskquery.selection.thresholds import Threshold

LOCK = Path("dvc.lock")

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
    checks: list[Callable[[Params], object]] = [expect_views, expect_overlays, expect_truth]
    for check in checks:
        try:
            check(settings)
        except (UserError, OSError) as error:
            yield str(error)


def expect_lock_file(path: Path = LOCK) -> None:
    """Refuse a dvc.lock that DVC cannot read.

    Raises:
        UserError: it is no whole YAML file with stages.
    """
    if path.is_file() and not _is_whole(path.read_bytes()):
        raise UserError(
            f"{path} is damaged, as after a kill while DVC wrote it",
            "run `maskquery check --mend`, or `git checkout dvc.lock`, then `dvc repro`",
        )


def _is_whole(data: bytes) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml_text.parse(data.decode(), LOCK.name))
    except (UserError, UnicodeDecodeError, Invalid):
        return False
    return True


def mend_lock_file(path: Path = LOCK) -> str:
    """Replace a damaged dvc.lock by the last commit's; what was done, "" if it is whole.

    The damaged file is kept beside it. What ran since the commit comes from DVC's run cache.

    Raises:
        UserError: the last commit has none, or git cannot tell.
    """
    if not path.is_file() or _is_whole(path.read_bytes()):
        return ""
    text = git.read("HEAD", path) if git.holds(Path()) else None
    if text is None:
        raise UserError(
            f"{path} is damaged, and no commit has a whole one", f"remove it and {RERUN}"
        )
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    files.write_file(aside, path.read_bytes())
    files.write_file(path, text.encode())
    return f"{path} was damaged, and is that of the last commit again; the damaged one is {aside}"


def expect_views(settings: Params) -> None:
    """Refuse weights of other views than those that are embedded."""
    class_embeddings.in_order(settings.scores.view_weights, settings.clip.views)


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


def main(arguments: Sequence[str]) -> str:
    """Check; the closing line."""
    parser = Parser("check", __doc__)
    parser.add_argument("--mend", action="store_true", help="repair a damaged dvc.lock")
    chosen = parser.parse_args(arguments)
    if not params.PARAMS_FILE.is_file():
        raise UserError("there is no params.yaml here", "go to the project's folder")
    if chosen.mend and (line := mend_lock_file()):
        console.log(line)
    *others, last = [*problems(), ""]
    if others:
        for line in others[:-1]:
            console.log(f"error: {line}")
        raise UserError(others[-1])
    return f"check: params, images and ground truth fit{last}"
