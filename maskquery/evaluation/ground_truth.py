"""Ground truth: pair it with images, and read label maps, whatever file they come in."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydantic
from PIL import Image, ImageOps

from maskquery.core.errors import UserError
from maskquery.core.params import Folder, Section, Text
from maskquery.images import image_files, sources
from maskquery.images.sources import File
from maskquery.masks.packed import Packed, pack

Labels = npt.NDArray[np.integer]
Level = Annotated[int, pydantic.Field(ge=0, le=255)]
Palette = Mapping[int, tuple[int, int, int]]


_EXACT = 2.0**53
"""Below it every integer is a float64 of its own."""


def _pattern(value: str) -> str:
    if value.count("{image}") != 1 or "/" in value or "\\" in value:
        raise ValueError('must be a file name with one {image} in it, such as "{image}.npy"')
    return value


class GroundTruth(Section):
    """The section `ground_truth` of params.yaml.

    Attributes:
        folder: the label maps; an empty folder means that there is no ground truth.
        pattern: the label map's file name, where "{image}" stands for the image's file stem.
        palette: colour of each label, 0 to 255 for red, green, blue; for maps in colour only.
        labels: the labels of each class.
    """

    folder: Folder
    pattern: Annotated[str, pydantic.AfterValidator(_pattern)]
    palette: dict[int, tuple[Level, Level, Level]]
    labels: Annotated[
        dict[Text, Annotated[tuple[int, ...], pydantic.Field(min_length=1)]],
        pydantic.Field(min_length=1),
    ]


def pair(image_ids: Iterable[str], folder: Path, pattern: str) -> dict[str, File]:
    """The label map of each image; {} if `folder` is missing or holds nothing but hidden files.

    The map of image "a/b" stands in the folder "a" of `folder`, or of an archive in it.

    Raises:
        UserError: a label map is missing while there are others.
    """
    found = sources.by_name(folder) if folder.exists() else {}
    if not found:
        return {}
    pairs = {}
    for image in image_ids:
        parent, _, stem = image.rpartition("/")
        name = (PurePosixPath(parent) / pattern.replace("{image}", stem)).as_posix()
        if name not in found:
            raise UserError(
                f"image {image!r} has no ground truth: {folder / name} is missing; add it, "
                f"or set ground_truth.pattern, or empty {folder} to run without metrics"
            )
        pairs[image] = found[name]
    return pairs


def read_labels(path: File, palette: Palette, most: int = image_files.MAX_PIXELS) -> Labels:
    """Read a label map: (H, W) integer.

    Args:
        path: .npy of integers; or an image of one channel whose values are the labels; or an image
            in colour, of which each pixel gets the label whose colour is nearest in RGB
            (compression blurs colours). A PNG of indexed colours gives its indices if `palette` is
            empty.
        palette: colour of each label.
        most: pixels; a larger picture is refused before it is decoded.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if str(path).lower().endswith(".npy"):
        return _read_npy(path)
    with image_files.opened(path, max_pixels=None) as opened:
        width, height = opened.size
        if width * height > most:
            raise UserError(f"{path} is {width} x {height} pixels, more than {most}")
        spread = _spread(opened)
        opened.load()
        lossy = opened.format == "JPEG"
        image = ImageOps.exif_transpose(opened)
    if image.mode in ("1", "L", "I", "I;16", "I;16B") or (image.mode == "P" and not palette):
        if lossy:
            raise UserError(f"{path} is a grey JPEG, which changes labels", "save it as PNG")
        return np.array(image).astype(np.int64) // spread
    if image.mode not in ("P", "RGB", "RGBA"):
        raise UserError(
            f"{path} has pixels of mode {image.mode}: labels are integers or RGB colours"
        )
    if not palette:
        raise UserError(f"{path} is in colour", "give each label's colour in ground_truth.palette")
    return nearest(np.asarray(image.convert("RGB")), palette)


def _spread(image: Image.Image) -> int:
    """What Pillow multiplies labels by in a grey picture of 2 or 4 bits, to fill 0 to 255."""
    bits = re.search(r"'L;([24])", str(getattr(image, "tile", "")))
    return 255 // (2 ** int(bits[1]) - 1) if bits else 1


def _read_npy(path: File) -> Labels:
    stream = io.BytesIO(image_files.read_bytes(path))
    try:
        # And not np.load, which takes archives and pickles too.
        labels: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except Exception as error:  # a damaged header makes numpy raise more than it documents
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as .npy ({reason})", "replace it") from None
    if labels.ndim != 2:
        raise UserError(f"{path} has the shape {labels.shape}: labels are (height, width)")
    kind = labels.dtype.kind
    if kind not in "iubf":
        raise UserError(f"{path} holds {labels.dtype}: labels are integers")
    if kind == "f" and not np.all((np.abs(labels) < _EXACT) & (labels == np.trunc(labels))):
        raise UserError(f"{path} holds numbers that are not whole: labels are integers")
    return labels if kind in "iu" else labels.astype(np.int64)


def nearest(colours: npt.NDArray[np.uint8], palette: Palette) -> Labels:
    """The label of the nearest colour (L2 in RGB; of several the lowest), (H, W, 3) to (H, W)."""
    names = np.array(sorted(palette), np.int64)
    best = np.full(colours.shape[:2], np.iinfo(np.int32).max, np.int32)
    index = np.zeros(colours.shape[:2], np.intp)
    wide = colours.astype(np.int32)
    for position, label in enumerate(names):
        distance = np.square(wide - np.array(palette[int(label)], np.int32)).sum(axis=-1)
        nearer = distance < best
        best[nearer], index[nearer] = distance[nearer], position
    return names[index]


def expect_shape(labels: Labels, height: int, width: int, path: File, image: str) -> None:
    """Refuse a label map that does not lie over its image.

    Raises:
        UserError: the label map is not of the image's size.
    """
    if labels.shape != (height, width):
        turned = " (as its EXIF orientation turns it)" if labels.shape == (width, height) else ""
        raise UserError(
            f"{path} is {labels.shape[1]} x {labels.shape[0]} pixels and image {image!r} "
            f"{width} x {height}{turned}: the ground truth must have the image's size"
        )


def class_mask(labels: Labels, ids: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Where the labels are one of `ids`, which are not many: (H, W) bool."""
    mask: npt.NDArray[np.bool_] = labels == ids[0]
    for label in ids[1:]:
        mask |= labels == label
    return mask


def class_planes(
    labels: Labels, classes: Sequence[str], ids: Mapping[str, Sequence[int]]
) -> Packed:
    """Where the labels are those of each class: (H, W) and C names to (C, H, W8) packed bits."""
    return np.stack([pack(class_mask(labels, ids[name])) for name in classes])


def true_planes(
    label_map: File,
    truth: GroundTruth,
    classes: Sequence[str],
    image: str,
    height: int,
    width: int,
) -> Packed:
    """The classes of an image's label map: (C, H, W8) packed bits.

    Raises:
        UserError: it cannot be read, or is not of the image's size.
    """
    labels = labels_of(label_map, truth, image, height, width)
    return class_planes(labels, classes, truth.labels)


def labels_of(label_map: File, truth: GroundTruth, image: str, height: int, width: int) -> Labels:
    """An image's label map: (H, W) integer.

    Raises:
        UserError: it cannot be read, or is not of the image's size.
    """
    labels = read_labels(label_map, truth.palette, max(height * width, image_files.MAX_PIXELS))
    expect_shape(labels, height, width, label_map, image)
    return labels


def expect_classes(classes: Sequence[str], ids: Mapping[str, Sequence[int]]) -> None:
    """Refuse labels of other classes than those that are predicted.

    Raises:
        UserError: `ground_truth.labels` lacks a class that is predicted, or has another.
    """
    for name in classes:
        if name not in ids:
            raise UserError(
                f"ground_truth.labels.{name} is missing", f"give the labels of {name!r}"
            )
    for name in ids:
        if name not in classes:
            raise UserError(
                f"ground_truth.labels.{name} is no class (they are {', '.join(classes)})",
                "remove it or give it prompts under `classes`",
            )
