"""Ground truth from COCO JSON: label maps that the pipeline reads, and their part of params.yaml.

    maskquery import annotations.json --out data/truth --category couch=sofa

Annotations of different classes may overlap, and a label map has one label a pixel. So a label here
stands for a set of classes: 1, 2, ... for each class alone, further ones for each set that occurs.
`ground_truth.labels` lists for a class all labels whose set has it, and nothing is lost. Crowds are
pixels of their class like any others; categories that are no class are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydantic
from PIL import Image

from maskquery.core import console, params, yaml_text
from maskquery.core.arguments import Parser
from maskquery.core.errors import UsageError, UserError
from maskquery.formats import coco_file, folders
from maskquery.formats.coco_file import Annotation, File
from maskquery.images import image_files, sources
from maskquery.images.names import Matcher

PATTERN = "{image}.png"
MOST = 2**16 - 1
"""The highest label of a 16-bit PNG."""

Labels = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]


class Params(params.Section):
    """What params.yaml says about ground truth that is to be imported."""

    images: params.Folder
    classes: Annotated[dict[params.Text, Any], pydantic.Field(min_length=1)]


class Sets:
    """Labels of sets of classes, numbered as they come.

    Args:
        classes: C names; label 1 to C are those of each alone.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._labels = {frozenset[int](): 0}
        for number in range(len(classes)):
            self._label(frozenset([number]))

    def _label(self, members: frozenset[int]) -> int:
        label = self._labels.setdefault(members, len(self._labels))
        if label > MOST:
            raise UserError(f"more than {MOST} sets of classes overlap", "import fewer classes")
        return label

    def label_map(self, planes: Mapping[str, Bools], height: int, width: int) -> Labels:
        """Each pixel's set of classes as a label: (H, W), from (H, W) bool by class."""
        labels = np.zeros((height, width), np.uint16)
        for name, plane in planes.items():
            members = list(self._labels)
            number = self._classes.index(name)
            before = labels.copy()
            for label in np.unique(before[plane]).tolist():
                labels[plane & (before == label)] = self._label(members[label] | {number})
        return labels

    def of(self, name: str) -> list[int]:
        """The labels whose set has a class."""
        number = self._classes.index(name)
        return [label for members, label in self._labels.items() if number in members]


def run(
    source: Path, out: Path, settings: Params, renamed: Mapping[str, str], *, match: bool = False
) -> str:
    """Make `out` the folder of label maps; the closing line.

    Args:
        source: the COCO file.
        out: replaced as a whole if it was made so.
        settings: the folder of images, and the classes.
        renamed: class by category, where their names differ.
        match: whether a file_name that differs in folders, case, backslashes or percent-encoding
            is that of the one image it can mean.

    Raises:
        UserError: the file is damaged, or does not fit the images or the classes.
    """
    output = folders.Output(out, "maskquery import", settings.images)
    output.expect_replaceable()
    file = coco_file.read(source)
    classes = tuple(settings.classes)
    names = class_names(file, classes, renamed, source)
    entries = images_by_id(file, source, any_name=match)
    annotations: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in file.annotations:
        if annotation.category_id in names:
            annotations[annotation.image_id].append(annotation)
    paths = image_files.find(settings.images)
    if missing := sorted(paths.keys() - entries.keys()):
        variants = _variants(missing, entries)
        if not match or len(variants) < len(missing):
            raise _missing(missing, variants, len(paths), source, settings.images)
        entries |= {image: entries[name] for image, name in variants.items()}
    sets, used, shared = Sets(classes), 0, 0
    with output.replacing({"from": str(source), "classes": list(classes)}) as folder:
        for image, path in console.progress(paths.items(), len(paths), "import_coco"):
            entry = entries[image]
            _expect_size(entry, path, source)
            of_image = annotations[entry.id]
            planes = _planes(of_image, names, entry, source)
            labels = sets.label_map(planes, entry.height, entry.width)
            _save(labels, folder / f"{image}.png")
            used += len(of_image)
            shared += int((labels > len(classes)).sum())
        _write_section(folder / "ground_truth.yaml", out, {name: sets.of(name) for name in classes})
    return (
        f"import_coco: {len(paths)} label maps of {used} annotations in {out}, "
        f"{shared} pixels are of several classes; "
        f"put {out / 'ground_truth.yaml'} into params.yaml in place of its ground_truth"
    )


def _variants(images: Sequence[str], entries: Mapping[str, object]) -> dict[str, str]:
    """The entry that each image's name is another spelling of; no entry twice."""
    matcher = Matcher(entries)
    variants = {image: matcher.variant(image) for image in images}
    names = {image: variant.name for image, variant in variants.items() if variant}
    times = Counter(names.values())
    return {image: name for image, name in names.items() if times[name] == 1}


def _missing(
    images: Sequence[str], variants: Mapping[str, str], total: int, source: Path, folder: Path
) -> UserError:
    what = f"{len(images)} of {total} images are not in {source}, the first is {images[0]!r}"
    if len(variants) == len(images):
        return UserError(f"{what}; it has {variants[images[0]]!r}", "take it for that by --match")
    return UserError(
        f"{what}; of {len(variants)} of them it has another spelling",
        f"file_name must be the image's path in {folder}",
    )


def class_names(
    file: File, classes: Sequence[str], renamed: Mapping[str, str], source: Path
) -> dict[int, str]:
    """The class of each category that is one, by the category's id.

    Raises:
        UserError: a class has no category, or a renamed one does not exist.
    """
    categories = {category.name for category in file.categories}
    for category, name in renamed.items():
        if category not in categories or name not in classes:
            what = "category" if category not in categories else "class"
            raise UsageError(f"--category {category}={name}: there is no such {what}")
    names = {category.id: renamed.get(category.name, category.name) for category in file.categories}
    for name in classes:
        if name not in names.values():
            raise UserError(
                f"{source} has no category {name!r} (it has {', '.join(sorted(categories))})",
                f"name the one that is meant, --category NAME={name}, or remove the class",
            )
    return {number: name for number, name in names.items() if name in classes}


def images_by_id(file: File, source: Path, *, any_name: bool = False) -> dict[str, coco_file.Image]:
    """The entries of images by the ids that their files have in the pipeline.

    With `any_name` a name may be an absolute path or a URL; it is only compared.

    Raises:
        UserError: a file's name is no path in a folder, or two would be one image.
    """
    entries: dict[str, coco_file.Image] = {}
    for entry in file.images:
        path = PurePosixPath(entry.file_name)
        is_inside = not path.is_absolute() and ".." not in path.parts
        if not path.name or not (is_inside or any_name):
            raise UserError(f"{source}: file_name {entry.file_name!r} is no path in a folder")
        image = path.with_suffix("").as_posix()
        if image in entries:
            raise UserError(f"{source}: two entries would be image {image!r}")
        entries[image] = entry
    return entries


def _expect_size(entry: coco_file.Image, path: sources.File, source: Path) -> None:
    height, width = image_files.size(path)
    if (height, width) != (entry.height, entry.width):
        raise UserError(
            f"{path} is {width} x {height} pixels, and in {source} {entry.width} x {entry.height}"
        )


def _planes(
    annotations: Sequence[Annotation],
    names: Mapping[int, str],
    entry: coco_file.Image,
    source: Path,
) -> dict[str, Bools]:
    """The pixels of each class that one image shows, (H, W) bool."""
    planes: dict[str, Bools] = {}
    for annotation in annotations:
        try:
            mask = coco_file.pixels(annotation, entry.height, entry.width)
        except ValueError as error:
            raise UserError(f"{source}: annotation {annotation.id}: {error}") from None
        name = names[annotation.category_id]
        planes[name] = planes[name] | mask if name in planes else mask
    return planes


def _save(labels: Labels, path: Path) -> None:
    """A PNG of one channel, of 8 bits where they suffice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8) if labels.max() < 256 else labels).save(path)


def _write_section(path: Path, folder: Path, labels: Mapping[str, list[int]]) -> None:
    truth = {
        "folder": str(folder),
        "pattern": PATTERN,
        "palette": {},
        "ignore": [],
        "labels": dict(labels),
    }
    text = yaml_text.dump({"ground_truth": truth})
    path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> str:
    """Import for the images and classes of params.yaml."""
    parser = Parser("import", __doc__)
    parser.add_argument("source", metavar="COCO_JSON", type=Path)
    parser.add_argument("--out", type=Path, default=Path("data/truth"), help="folder to make")
    parser.add_argument("--category", action="append", default=[], metavar="CATEGORY=CLASS")
    parser.add_argument(
        "--match",
        action="store_true",
        help="take a file_name in other folders, case or slashes for the image that it can mean",
    )
    chosen = parser.parse_args(arguments)
    renamed = dict(map(_parse_renaming, chosen.category))
    return run(chosen.source, chosen.out, params.load(Params), renamed, match=chosen.match)


def _parse_renaming(text: str) -> tuple[str, str]:
    category, equals, name = text.partition("=")
    if not equals:
        raise UsageError(f"--category {text}: it must be CATEGORY=CLASS, such as couch=sofa")
    return category, name
