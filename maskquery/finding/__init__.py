"""Find objects in an image, or in a folder of images, by text: the pipeline once, without DVC.

    images = find("photo.jpg", "a red chair", threshold=0.3)
    images["photo"].union("a red chair")     # (H, W) bool

It calls what the stages call, in a folder of its own, and so gives what the pipeline gives, bit by
bit, and shares its cache of finished work.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskquery.clip import prompts as clip_prompts
from maskquery.clip.run import write_embeddings
from maskquery.core import console, params, yaml_text
from maskquery.core.errors import RERUN, InterruptedWork, UserError
from maskquery.evaluation import panels
from maskquery.finding import asking, settings
from maskquery.finding import preset as choice
from maskquery.finding.settings import Given, Params
from maskquery.formats import coco, folders, objects
from maskquery.formats.objects import AnnotatedImage, Files
from maskquery.images import image_files, names, sources
from maskquery.jobs.stats import ImagesFailedError
from maskquery.masks.packed import pack
from maskquery.sam.run import write_masks
from maskquery.scoring.run import write_scores
from maskquery.selection.run import write_predictions

FAILURES, MASKS, EMBEDDINGS = "failures.json", "masks.zarr", "embeddings.parquet"
SCORES, PREDICTIONS = "scores.parquet", "predictions.zarr"
COMMAND = "maskquery find"

__all__ = ["find"]


def find(
    source: str | Path,
    prompts: str | Sequence[str],
    *,
    threshold: float | str | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> dict[str, AnnotatedImage]:
    """The masks of `source` whose score for a prompt is above the threshold, by image id.

    A prompt is taken as it is, without templates; against it stand the prompts of
    `scores.negative_prompts` and the classes of params.yaml, but for those that it names. Prompts
    do not stand against each other, and a mask may be of several, whatever `selection.exclusive`
    says.

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
            params.yaml: the one in the current folder, else the package's own.
        preset: "demo", "photo", "full_size" or "report"; None for "photo" outside a project, for
            params.yaml as it is in one. Models chosen in `settings` bring what belongs to them: see
            `finding.preset`.

    Raises:
        UsageError: an argument or a setting does not fit.
        UserError: an image cannot be read (`on_error: skip` goes on without it), `out` holds
            something else, or params.yaml in the current folder does not fit.
    """
    values = [Given(key, value, "settings") for key, value in (settings or {}).items()]
    if threshold is not None:
        values.append(Given("threshold", threshold, "threshold"))
    return run(Path(source), prompts, values, Path(out) if out else None, preset)


def run(
    source: Path,
    prompts: str | Sequence[str],
    values: Sequence[Given],
    out: Path | None,
    preset: str | None = None,
) -> dict[str, AnnotatedImage]:
    """As `find`, with values that name the place where they were given."""
    question = ask(source, prompts, values, preset)
    if out:
        folders.Output(out, COMMAND, source).expect_replaceable()
    expect_source(source)
    choice.tell(question.remark, question.params.sam.model, question.params.clip.model)
    if warning := clip_prompts.warning(question.negatives):
        console.log(warning)
    with tempfile.TemporaryDirectory() as temporary, _remedies_of_find():
        return _answer(question, out or Path(temporary) / "out")


@dataclass(frozen=True)
class Question:
    """What to find, and how.

    Attributes:
        document: the contents of the params.yaml that says so.
        params: what is in it.
        negatives: what stands against each prompt.
        remark: what `preset.apply` says.
    """

    document: Mapping[str, Any]
    params: Params
    negatives: Mapping[str, Sequence[str]]
    remark: str = ""


def ask(
    source: Path, prompts: str | Sequence[str], values: Sequence[Given], preset: str | None = None
) -> Question:
    """The question, checked, before anything is computed; raises what `find` raises."""
    prompts = asking.prompts_of(prompts)
    settings.expect_known(values)
    base = settings.base_here()
    document = params.read(base.params)
    remark = choice.apply(document, preset, values, base)
    document = settings.put_in(document, values) | {"images": str(source)}
    settings.validate(document, values, base)
    document["threshold"] = settings.threshold_of(document, base)
    negatives = {prompt: asking.against(document, prompt) for prompt in prompts}
    document = asking.asking(document, negatives)
    checked = settings.validate(document, values, base)
    clip_prompts.expect_short(checked.clip.model, prompts, checked.scores.templates)
    return Question(document, checked, negatives, remark)


def expect_source(source: Path) -> None:
    """Refuse what is neither an image nor a source of images.

    Raises:
        UserError: naming it.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist")
    if not sources.is_source(source) or (source.is_file() and source.name.startswith(".")):
        raise UserError(f"{source} is not an image by its name ({', '.join(names.SUFFIXES)})")


@contextlib.contextmanager
def _remedies_of_find() -> Iterator[None]:
    """Say how to go on with `find`, where the stages would say how to go on with the pipeline."""
    try:
        yield
    except ImagesFailedError as error:  # the list of them has gone with the folder it was in
        raise ImagesFailedError(error.failures, error.done) from None
    except UserError as error:
        if RERUN not in error.remedy:
            raise
        raise UserError(error.problem, "ask again; what is done is kept") from None
    except InterruptedWork as interruption:
        raise InterruptedWork(interruption.done, "the same command goes on there") from None


def _answer(question: Question, out: Path) -> dict[str, AnnotatedImage]:
    """Do what the stages do, and make the rest of `out` from their files."""
    mark = {"against": question.negatives, "threshold": question.document["threshold"]}
    output = folders.Output(out, COMMAND, question.params.images)
    with output.replacing(mark) as folder:
        write_params(folder, question.document)
        files = _stages(folder, question)
        coco.write(folder, objects.read(files, "masks"))
        images = {image.image: image for image in objects.read(files, "masks").images}
        draw(images.values(), list(question.negatives), folder / "overlays")
    return images


def write_params(folder: Path, document: Mapping[str, Any]) -> None:
    """Write params.yaml into a folder."""
    (folder / "params.yaml").write_text(yaml_text.dump(dict(document)), encoding="utf-8")


def _stages(folder: Path, question: Question) -> Files:
    """What the stages do, into `folder`."""
    values = question.params
    masks, embeddings, scores = (folder / name for name in (MASKS, EMBEDDINGS, SCORES))
    predictions = folder / PREDICTIONS
    write_masks(
        values.images,
        masks,
        folder / FAILURES,
        max_pixels=values.max_pixels,
        on_error=values.on_error,
        sam=values.sam,
    )
    write_embeddings(values.images, masks, embeddings, clip=values.clip)
    write_scores(
        embeddings,
        scores,
        settings=values.scores,
        classes=values.classes,
        negatives=question.negatives,
    )
    write_predictions(
        masks,
        scores,
        folder / "thresholds.json",  # there is none: a number needs none
        predictions,
        threshold=values.threshold,
        selection=values.selection,
    )
    return Files(images=values.images, predictions=predictions, masks=masks)


def draw(images: Iterable[AnnotatedImage], prompts: Sequence[str], folder: Path) -> None:
    """Fill a new folder with a panel for each image and prompt."""
    folder.mkdir()
    for image in images:
        pixels = image_files.read(image.path)
        for prompt in prompts:
            panel = panels.panel_of(pixels, pack(image.union(prompt)), None, prompt, image.image)
            name = image.image if len(prompts) == 1 else f"{image.image}\0{prompt}"
            panel.save(folder / panels.file_name(name), quality=panels.QUALITY)
