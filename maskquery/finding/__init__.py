"""Find objects in an image, or in a folder of images, by text: the pipeline once, without DVC.

    found = find("photo.jpg", "a red chair", threshold=0.3)
    found["photo"].union("a red chair")     # (H, W) bool

It calls what the stages call, in a folder of its own, and so gives what the pipeline gives, bit by
bit, and shares its side cache.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from maskquery.clip.run import write_embeddings
from maskquery.clip.settings import ClipParams
from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import panels
from maskquery.finding.asking import against, asking, changed, prompts_of, threshold_of
from maskquery.formats import coco, folders, objects
from maskquery.formats.objects import AnnotatedImage, Files
from maskquery.images import image_files, names, sources
from maskquery.jobs.stats import OnError
from maskquery.sam.run import write_masks
from maskquery.sam.settings import SamParams
from maskquery.scoring import class_embeddings
from maskquery.scoring.run import Classes, write_scores
from maskquery.selection.rules import Selection
from maskquery.selection.run import write_predictions
from maskquery.selection.thresholds import Threshold

ROOT = Path(__file__).resolve().parents[2]
FAILURES, MASKS, EMBEDDINGS = "failures.json", "masks.zarr", "embeddings.parquet"
SCORES, PREDICTIONS = "scores.parquet", "predictions.zarr"

__all__ = ["find"]


def find(
    source: str | Path,
    prompts: str | Sequence[str],
    *,
    threshold: float | str | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, AnnotatedImage]:
    """The masks of `source` whose score for a prompt is above the threshold, by image id.

    A prompt is taken as it is, without templates; against it stand the prompts of `scores.contrast`
    and the classes of params.yaml, but for those that it names. Prompts do not stand against each
    other, and a mask may be of several, whatever `selection.exclusive` says.

    Args:
        source: an image, or what `images` in params.yaml may be: a folder, an archive, a listing of
            a bucket; ids are paths in it without suffixes.
        prompts: each is a class of its own, named by its text.
        threshold: -1 to 1, or "otsu" or "largest_gap"; None for the one of params.yaml. Where that
            is a calibrated one, it is `common` of metrics/thresholds.json, since prompts that are
            free to choose have none of their own.
        out: a folder to make: masks.zarr, embeddings.parquet, scores.parquet, predictions.zarr,
            annotations.json (COCO, each mask with its score), overlays/, failures.json,
            params.yaml, and made.json, which says what stood against each prompt.
        settings: other values by dotted key ("sam.points_per_side"), in place of those of
            params.yaml: the one in the current folder, else the repository's own.

    Raises:
        UserError: an input or a setting does not fit, an image cannot be read (`on_error: skip`
            goes on without it), or `out` holds something else.
    """
    source = Path(source)
    base = Path.cwd() if params.PARAMS_FILE.is_file() else ROOT
    document = changed(base / params.PARAMS_FILE, settings or {})
    if threshold is None:
        threshold = threshold_of(document, base)
    rivals = {prompt: against(document, prompt) for prompt in prompts_of(prompts)}
    document = asking(document, rivals) | {"threshold": threshold}
    if out:
        folders.expect_replaceable(Path(out), source)
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = source if sources.is_source(source) else folder_of(source, temporary / "image")
        out = Path(out) if out else temporary / "out"
        document["images"] = str(folder)
        stack.enter_context(_side_cache(base))
        with _spoken({} if folder == source else {str(folder / source.name): str(source)}):
            found = _run(out, document, source, rivals)
    paths = {} if folder == source else {source.stem: source}  # and not a link to it
    return {
        name: dataclasses.replace(image, path=paths.get(name, image.path))
        for name, image in found.items()
    }


def folder_of(image: Path, folder: Path) -> Path:
    """Make `folder` one that holds a link to the image and nothing else."""
    if not image.is_file():
        what = "is neither an image nor a folder" if image.exists() else "does not exist"
        raise UserError(f"{image} {what}")
    if image.suffix.lower() not in names.SUFFIXES or image.name.startswith("."):
        raise UserError(f"{image} is not an image by its name ({', '.join(names.SUFFIXES)})")
    folder.mkdir()
    (folder / image.name).symlink_to(image.absolute())
    return folder


@contextlib.contextmanager
def _side_cache(base: Path) -> Iterator[None]:
    """Use the side cache beside the params.yaml that the settings come from."""
    if "MASKQUERY_CACHE" in os.environ or base == Path.cwd():
        yield
        return
    os.environ["MASKQUERY_CACHE"] = str(base / ".cache")
    try:
        yield
    finally:
        del os.environ["MASKQUERY_CACHE"]


@contextlib.contextmanager
def _spoken(names: Mapping[str, str]) -> Iterator[None]:
    """Have errors name the user's own files, and the command that was given."""
    words = {**names, "`dvc repro`": "the same command"}

    def reworded(error: BaseException) -> str:
        text = str(error)
        for before, after in words.items():
            text = text.replace(before, after)
        return text

    try:
        yield
    except UserError as error:
        raise UserError(reworded(error)) from None
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(reworded(error)) from None


def _run(
    out: Path, document: Mapping[str, Any], source: Path, rivals: Mapping[str, Sequence[str]]
) -> dict[str, AnnotatedImage]:
    """Run the stages, and make the rest of `out` from their files."""
    mark = {"against": rivals, "threshold": document["threshold"]}
    with folders.replacing(out, mark) as folder:
        write_params(folder, document)
        work = f"{folder}{os.sep}"  # has another name once it is done
        with _spoken({f" (see {work}{FAILURES})": "", work: ""}):
            files = _stages(folder, rivals)
        write_params(folder, {**document, "images": str(source)})  # and not a folder of links
        coco.write(folder, objects.read(files, "masks"))
        found = {image.image: image for image in objects.read(files, "masks").images}
        draw(found.values(), list(rivals), folder / "overlays")
    return found


def write_params(folder: Path, document: Mapping[str, Any]) -> None:
    """Write params.yaml into a folder."""
    text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


class Params(params.Section):
    """What params.yaml says to `find`."""

    threshold: Threshold
    images: params.Folder
    max_pixels: Annotated[int, pydantic.Field(ge=1)]
    on_error: OnError
    sam: SamParams
    clip: ClipParams
    scores: class_embeddings.Settings
    classes: Classes
    selection: Selection


def _stages(folder: Path, rivals: Mapping[str, Sequence[str]]) -> Files:
    """What the stages do, on the params.yaml in `folder`, into `folder`."""
    settings = params.load(Params, folder / "params.yaml")  # a slip is told before work begins
    masks, embeddings, scores = (folder / name for name in (MASKS, EMBEDDINGS, SCORES))
    predictions = folder / PREDICTIONS
    write_masks(
        settings.images,
        masks,
        folder / FAILURES,
        max_pixels=settings.max_pixels,
        on_error=settings.on_error,
        sam=settings.sam,
    )
    write_embeddings(settings.images, masks, embeddings, clip=settings.clip)
    write_scores(
        embeddings, scores, settings=settings.scores, classes=settings.classes, rivals=rivals
    )
    write_predictions(
        masks,
        scores,
        folder / "thresholds.json",  # there is none: a number needs none
        predictions,
        threshold=settings.threshold,
        selection=settings.selection,
    )
    return Files(images=settings.images, predictions=predictions, masks=masks)


def draw(found: Iterable[AnnotatedImage], prompts: Sequence[str], folder: Path) -> None:
    """Fill a new folder with a panel for each image and prompt."""
    folder.mkdir()
    for image in found:
        pixels = image_files.read(image.path)
        for prompt in prompts:
            panel = panels.panel_of(pixels, image.union(prompt), None, prompt, image.image)
            name = image.image if len(prompts) == 1 else f"{image.image}\0{prompt}"
            panel.save(folder / panels.file_name(name), quality=panels.QUALITY)
