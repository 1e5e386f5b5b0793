"""Find objects in an image, or in a folder of images, by text: the pipeline once, without DVC.

    found = find("photo.jpg", "a red chair", threshold=0.3)
    found["photo"].union("a red chair")     # (H, W) bool

It runs the stages themselves (their `run`) in a folder of its own, and so gives what the pipeline
gives, bit by bit, and shares its side cache. It stands above `stages` and not among them: it is no
DVC stage, and stages do not use each other.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from formats import coco, folders, objects
from formats.objects import AnnotatedImage, Files
from retrieval import (
    images,
    names,
    overlays,
    params,
    sources,
    thresholds,
)
from retrieval.errors import UserError
from retrieval.thresholds import CALIBRATED, COMMON
from stages import embeddings, masks, predictions, scores

ROOT = Path(__file__).resolve().parents[1]
FAILURES = "failures.json"
QUALITY = 88

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

    A prompt is taken as it is, without templates; against it stand, besides the prompts of
    `scores.contrast`, the classes of params.yaml that no prompt names. A mask may be of several
    prompts, whatever `selection.exclusive` says.

    Args:
        source: an image, or what `images` in params.yaml may be: a folder, an archive, a listing of
            a bucket; ids are paths in it without suffixes.
        prompts: each is a class of its own, named by its text.
        threshold: -1 to 1, or "otsu" or "largest_gap"; None for the one of params.yaml. Where that
            is a calibrated one, it is `common` of metrics/thresholds.json, since prompts that are
            free to choose have none of their own.
        out: a folder to make: masks.zarr, embeddings.parquet, scores.parquet, predictions.zarr,
            annotations.json (COCO, each mask with its score), overlays/, failures.json,
            params.yaml.
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
    document = asking(document, classes_of(prompts)) | {"threshold": threshold}
    if out:
        folders.expect_replaceable(Path(out), source)
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = source if sources.is_source(source) else folder_of(source, temporary / "image")
        out = Path(out) if out else temporary / "out"
        document["images"] = str(folder)
        stack.enter_context(_side_cache(base))
        with _spoken({} if folder == source else {str(folder / source.name): str(source)}):
            found = _run(out, document, source)
    paths = {} if folder == source else {source.stem: source}  # and not a link to it
    return {
        name: dataclasses.replace(image, path=paths.get(name, image.path))
        for name, image in found.items()
    }


def classes_of(prompts: str | Sequence[str]) -> dict[str, list[str]]:
    """Prompts as the `classes` of params.yaml."""
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts or any(not prompt.strip() for prompt in prompts):
        raise UserError("a prompt must not be empty: say what to find, such as 'a red chair'")
    return {prompt: [prompt] for prompt in prompts}


def asking(document: Mapping[str, Any], classes: Mapping[str, list[str]]) -> dict[str, Any]:
    """The contents of a params.yaml with prompts of one's own for classes, see `find`."""
    scores = document.get("scores")
    known = document.get("classes")
    if not isinstance(scores, dict) or not isinstance(known, dict):
        return {**document, "classes": classes}  # to be refused in words
    asked = " ".join(classes).lower()
    rivals = [
        own[0]
        for name, own in known.items()
        if own and not any(str(word).lower() in asked for word in (name, *own))
    ]
    contrast = [*dict.fromkeys([*(scores.get("contrast") or []), *rivals])]
    own_scores = {**scores, "templates": ["{}"], "prompts": "best", "contrast": contrast}
    chosen = {**document, "scores": own_scores, "classes": classes}
    if isinstance(selection := document.get("selection"), dict):
        # Of "a chair" and "a red chair" neither excludes the other.
        chosen["selection"] = {**selection, "exclusive": "none"}
    return chosen


def threshold_of(document: Mapping[str, Any], base: Path) -> Any:
    """The threshold of a params.yaml, a calibrated one as the number that suits all classes.

    Raises:
        UserError: there is no such number, or it is one of other models or scores.
    """
    rule = document.get("threshold")
    if rule not in (CALIBRATED, COMMON):
        return rule
    own = changed(base / params.PARAMS_FILE, {})
    if any(own.get(key) != document.get(key) for key in ("sam", "clip", "scores")):
        raise UserError(
            f"the threshold is {rule}, on other settings of sam, clip or scores than those given: "
            "give a number (--threshold)"
        )
    try:
        (number,) = thresholds.read(base / predictions.THRESHOLDS, COMMON, ["all"]).tolist()
    except UserError as error:
        raise UserError(f"give a number (--threshold), for {error}") from None
    return number


def changed(path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a params.yaml with the values of dotted keys put in."""
    params.load(params.Section, path)  # says in one line what is wrong with the file
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        if key.partition(".")[0] not in document:
            raise UserError(f"{key} is not a known key of {path}")
        place = document
        for name in sections:
            place = place.get(name)  # type: ignore[assignment]
            if not isinstance(place, dict):
                raise UserError(f"{key} is not a known key of {path}")
        place[last] = value
    return document


def folder_of(image: Path, folder: Path) -> Path:
    """Make `folder` one that holds a link to the image and nothing else."""
    if not image.is_file():
        raise UserError(f"{image} is neither an image nor a folder")
    if image.suffix.lower() not in names.SUFFIXES or image.name.startswith("."):
        raise UserError(f"{image} is not an image by its name ({', '.join(names.SUFFIXES)})")
    folder.mkdir()
    (folder / image.name).symlink_to(image.absolute())
    return folder


@contextlib.contextmanager
def _side_cache(base: Path) -> Iterator[None]:
    """Use the side cache beside the params.yaml that the settings come from."""
    if "RETRIEVAL_CACHE" in os.environ or base == Path.cwd():
        yield
        return
    os.environ["RETRIEVAL_CACHE"] = str(base / ".cache")
    try:
        yield
    finally:
        del os.environ["RETRIEVAL_CACHE"]


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


def _run(out: Path, document: Mapping[str, Any], source: Path) -> dict[str, AnnotatedImage]:
    """Run the stages, and make the rest of `out` from their files."""
    prompts = list(document["classes"])
    mark = {"prompts": prompts, "threshold": document["threshold"]}
    with folders.replacing(out, mark) as folder:
        write_params(folder, document)
        work = f"{folder}{os.sep}"  # has another name once it is done
        with _spoken({f" (see {work}{FAILURES})": "", work: ""}):
            files = _stages(folder)
        write_params(folder, {**document, "images": str(source)})  # and not a folder of links
        coco.write(folder, objects.read(files, "masks"))
        found = {image.image: image for image in objects.read(files, "masks").images}
        draw(found.values(), prompts, folder / "overlays")
    return found


def write_params(folder: Path, document: Mapping[str, Any]) -> None:
    """Write params.yaml into a folder."""
    text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def _stages(folder: Path) -> Files:
    """Run the stages that find, on the params.yaml in `folder`, into `folder`."""
    settings = folder / "params.yaml"
    files = Files(
        images=params.load(masks.Params, settings).images,
        predictions=folder / predictions.PREDICTIONS.name,
        masks=folder / masks.MASKS.name,
    )
    rows = folder / scores.SCORES.name
    table = folder / embeddings.EMBEDDINGS.name
    predicted = params.load(predictions.Params, settings)  # a slip is told before work begins
    scored = params.load(scores.Params, settings)
    embedded = params.load(embeddings.Params, settings)
    masks.run(files.masks, folder / FAILURES, params.load(masks.Params, settings))
    embeddings.run(files.masks, table, embedded)
    scores.run(table, rows, scored)
    no_thresholds = folder / predictions.THRESHOLDS.name  # a number needs none
    predictions.run(files.masks, rows, no_thresholds, files.predictions, predicted)
    return files


def draw(found: Iterable[AnnotatedImage], prompts: Sequence[str], folder: Path) -> None:
    """Fill a new folder with a panel for each image and prompt."""
    folder.mkdir()
    for image in found:
        pixels = images.read(image.path)
        for prompt in prompts:
            panel = overlays.panel_of(pixels, image.union(prompt), None, prompt)
            name = image.image if len(prompts) == 1 else f"{image.image} {prompt}"
            panel.save(folder / overlays.file_name(name), quality=QUALITY)
