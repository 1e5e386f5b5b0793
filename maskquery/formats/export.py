"""Write what the pipeline found in the format of another tool.

    maskquery export coco
    maskquery export yolo --objects masks --out data/export/chairs

Reads the pipeline's own files, after `dvc repro`, and changes none of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from maskquery.core import console, params
from maskquery.core.arguments import Parser
from maskquery.core.errors import UsageError
from maskquery.formats import coco, cvat, fiftyone, folders, label_png, label_studio, objects, yolo
from maskquery.formats.objects import AnnotatedImage, Dataset, Files, What

PREDICTIONS = Path("data/predictions.zarr")
MASKS = Path("data/masks.zarr")
EXPORTS = Path("data/export")

FORMATS: dict[str, Callable[[Path, Dataset], str]] = {
    "coco": coco.write,
    "yolo": yolo.write,
    "png": label_png.write,
    "label-studio": partial(label_studio.write, image_url=label_studio.IMAGE_URL),
    "cvat": cvat.write,
    "fiftyone": fiftyone.write,
}


class Params(params.Section):
    """What params.yaml says about an export."""

    images: params.Folder


@dataclass
class ExportStats:
    """What was written.

    Attributes:
        objects: in all images.
        empty: images without an object.
    """

    objects: int = 0
    empty: int = 0

    def of(self, images: Iterator[AnnotatedImage]) -> Iterator[AnnotatedImage]:
        """The same images, counted."""
        for image in images:
            self.objects += len(image.objects)
            self.empty += not image.objects
            yield image


def run(
    name: str, write: Callable[[Path, Dataset], str], files: Files, what: What, out: Path
) -> str:
    """Make `out` an export; the closing line.

    Args:
        name: of the format.
        write: fills a folder, and says what else is to be said.
        files: the pipeline's.
        what: one object per class and image, or per chosen mask.
        out: replaced as a whole if it is an earlier export.

    Raises:
        UserError: a file is missing or damaged, or `out` holds something else.
    """
    stats = ExportStats()
    output = folders.Output(out, f"maskquery export {name}", files.images)
    output.expect_replaceable()
    dataset = objects.read(files, what)
    images = console.progress(stats.of(dataset.images), dataset.count, name)
    mark = {"format": name, "objects": what, "classes": list(dataset.classes)}
    with output.replacing(mark) as folder:
        remark = write(folder, replace(dataset, images=images))
    line = f"{name}: {dataset.count} images, {stats.objects} objects in {out}"
    if not stats.objects:
        line = f"{name}: {dataset.count} images and NOT ONE object in {out}: no mask was chosen"
    elif stats.empty:
        line += f"; {stats.empty} images have none"
    return line + (f"; {remark}" if remark else "")


def main(arguments: Sequence[str]) -> str:
    """Export the pipeline's files."""
    chosen = parser().parse_args(arguments)
    if chosen.format == "png" and chosen.objects == "masks":
        raise UsageError("png has one class for each pixel", "leave out --objects masks")
    write = FORMATS[chosen.format]
    if chosen.format == "label-studio":
        write = partial(label_studio.write, image_url=chosen.image_url)
    files = Files(params.load(Params).images, PREDICTIONS, MASKS)
    return run(chosen.format, write, files, chosen.objects, chosen.out or EXPORTS / chosen.format)


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser("export", __doc__)
    add = arguments.add_argument
    add("format", choices=FORMATS)
    objects_help = "one object for each class of an image (%(default)s), or for each chosen mask"
    add("--objects", choices=get_args(What), default="classes", help=objects_help)
    add("--out", type=Path, help=f"folder to make; {EXPORTS}/FORMAT if not given")
    url_help = "Label Studio: what stands before an image's name (%(default)s)"
    add("--image-url", default=label_studio.IMAGE_URL, help=url_help)
    return arguments
