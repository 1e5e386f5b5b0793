"""Ground truth: pair label maps with images, and make them planes of classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
import pydantic

from maskquery.core.errors import UserError
from maskquery.core.params import Folder, Section, Text
from maskquery.evaluation.census import Census
from maskquery.evaluation.label_maps import Labels, Palette, read_labels
from maskquery.images import names, sources
from maskquery.images.sources import File
from maskquery.masks.packed import Packed, mask_areas, pack

__all__ = ["Labels", "Palette", "read_labels"]

Level = Annotated[int, pydantic.Field(ge=0, le=255)]


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
        ignore: the labels of void: pixels that nothing is known of, which count for nothing.
        labels: the labels of each class.
    """

    folder: Folder
    pattern: Annotated[str, pydantic.AfterValidator(_pattern)]
    palette: dict[int, tuple[Level, Level, Level]]
    ignore: tuple[int, ...]
    labels: Annotated[
        dict[Text, Annotated[tuple[int, ...], pydantic.Field(min_length=1)]],
        pydantic.Field(min_length=1),
    ]

    @pydantic.model_validator(mode="after")
    def _expect_no_class_of_void(self) -> Self:
        for name, labels in self.labels.items():
            if both := set(labels) & set(self.ignore):
                raise ValueError(
                    f"label {min(both)} is in ignore and in labels.{name}: remove it from one"
                )
        return self

    def census(self) -> Census:
        """A count, from nothing, of the labels that neither a class nor `ignore` names."""
        return Census(self.labels, self.ignore)


@dataclass(frozen=True)
class TruePlanes:
    """What is known of one image's pixels.

    Attributes:
        classes: (C, H, W8) packed bits, the pixels of each class; none of them is void.
        void: (H, W8) packed bits, pixels that nothing is known of; None where there are none.
    """

    classes: Packed
    void: Packed | None

    def without_void(self, masks: Packed) -> Packed:
        """Masks, (..., H, W8) packed bits, without their void pixels."""
        return masks if self.void is None else masks & ~self.void

    def pixels(self, width: int) -> int:
        """How many pixels of the image, W wide, are not void."""
        void = 0 if self.void is None else int(mask_areas(self.void))
        return int(self.classes.shape[-2]) * width - void


def pair(image_ids: Iterable[str], folder: Path, pattern: str) -> dict[str, File]:
    """The label map of each image; {} if `folder` is missing or holds nothing but hidden files.

    The map of image "a/b" stands in the folder "a" of `folder`, or of an archive in it.

    Raises:
        UserError: a label map is missing while there are others.
    """
    maps = sources.by_name(folder) if folder.exists() else {}
    if not maps:
        return {}
    pairs = {}
    for image in image_ids:
        parent, _, stem = image.rpartition("/")
        name = (PurePosixPath(parent) / pattern.replace("{image}", stem)).as_posix()
        if name not in maps:
            variant = names.Matcher(maps).variant(name, any_suffix=True)
            near = f"; it holds {variant}" if variant else ""
            raise UserError(
                f"image {image!r} has no ground truth: {folder / name} is missing{near}; add it, "
                f"or set ground_truth.pattern, or empty {folder} to run without metrics"
            )
        pairs[image] = maps[name]
    return pairs


def expect_shape(shape: tuple[int, int], height: int, width: int, path: File, image: str) -> None:
    """Refuse a label map that does not lie over its image.

    Args:
        shape: height and width of the label map.
        height: the image's, turned as its EXIF orientation says.
        width: so, too.
        path: the label map, for messages.
        image: the image's id, for messages.

    Raises:
        UserError: the label map is not of the image's size.
    """
    if shape != (height, width):
        turned = (
            "; images are turned as their EXIF orientation says, so turn the label map, too"
            if shape == (width, height)
            else ""
        )
        raise UserError(
            f"{path} is {shape[1]} x {shape[0]} pixels and image {image!r} "
            f"{width} x {height}: the ground truth must have the image's size{turned}"
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
    census: Census | None = None,
) -> TruePlanes:
    """The classes of an image's label map, and its void.

    Args:
        label_map: its file.
        truth: says which labels are of which class.
        classes: C names.
        image: the image's id, for messages.
        height: the image's.
        width: so, too.
        census: counts the labels, if it is given.

    Raises:
        UserError: it cannot be read, or is not of the image's size.
    """
    labels = labels_of(label_map, truth, image, height, width)
    if census:
        census.add(labels)
    void = pack(class_mask(labels, truth.ignore)) if truth.ignore else None
    if void is not None and not void.any():
        void = None
    return TruePlanes(class_planes(labels, classes, truth.labels), void)


def labels_of(label_map: File, truth: GroundTruth, image: str, height: int, width: int) -> Labels:
    """An image's label map: (H, W) integer.

    Raises:
        UserError: it cannot be read, or is not of the image's size.
    """
    return read_labels(
        label_map,
        truth.palette,
        lambda *shape: expect_shape(shape, height, width, label_map, image),
    )


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
