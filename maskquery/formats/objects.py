"""What the writers of formats are given: images with their objects, from the pipeline's files.

An object is either a class's whole region in an image (a plane of predictions.zarr, what the
metrics measure) or a single mask that was chosen for the class, with its score.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.images import image_files, sources
from maskquery.masks import mask_store
from maskquery.masks.mask_store import PredictionStore
from maskquery.masks.packed import ImagePredictions, Packed, mask_areas, mask_boxes, unpack

What = Literal["classes", "masks"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Files:
    """Where the pipeline's files are; `masks` is read for single masks only."""

    images: Path
    predictions: Path
    masks: Path


@dataclass(frozen=True)
class Object:
    """Pixels of one class in one image, at least one.

    Attributes:
        name: of the class.
        mask: (H, W8) uint8, packed bits.
        box: x0, y0, x1, y1 in pixels, half-open, tight.
        area: pixels.
        mask_id: of a single mask; None for a class's whole region.
        score: of a single mask for the class, -1 to 1; None for a class's whole region.
    """

    name: str
    mask: Packed = field(repr=False)
    box: tuple[int, int, int, int]
    area: int
    mask_id: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects: by class, the masks of a class from the highest score on.

    Attributes:
        image: the image's id.
        path: where its file is; `images.read` takes it.
        name: its file's path inside the folder of images (or its archive), with "/".
        height, width: H and W, pixels, as the image is seen: turned as its EXIF says.
        objects: none where nothing was found.
        classes: of which objects were looked for.
    """

    image: str
    path: sources.File
    name: str
    height: int
    width: int
    objects: tuple[Object, ...]
    classes: tuple[str, ...]

    def masks(self, name: str) -> Bools:
        """The objects of one class: (N, H, W) bool, N = 0 if there are none.

        Raises:
            KeyError: nobody looked for such a class.
        """
        if name not in self.classes:
            raise KeyError(f"{name!r} was not looked for, but {', '.join(map(repr, self.classes))}")
        masks = [one.mask for one in self.objects if one.name == name]
        shape = (len(masks), self.height, -(-self.width // 8))
        return unpack(np.array(masks, np.uint8).reshape(shape), self.width)

    def union(self, name: str) -> Bools:
        """The pixels of any object of one class: (H, W) bool; raises as `masks`."""
        union: Bools = np.logical_or.reduce(self.masks(name), axis=0)
        return union


@dataclass(frozen=True)
class Dataset:
    """All images in the order of their ids, read one at a time, and the names of the classes."""

    classes: tuple[str, ...]
    count: int
    images: Iterator[AnnotatedImage]


def read(files: Files, what: What) -> Dataset:
    """The objects that the pipeline found.

    Args:
        files: the pipeline's.
        what: "classes" for one object per class and image, "masks" for one per chosen mask.

    Raises:
        UserError: a file is missing or damaged, or they are not of one run.
    """
    paths = image_files.find(files.images)
    predictions = PredictionStore(files.predictions)
    names = predictions.images()
    classes = predictions.read(names[0]).classes
    chosen = _Chosen(files) if what == "masks" else None

    def read_images() -> Iterator[AnnotatedImage]:
        for image in names:
            prediction = predictions.read(image)
            if prediction.classes != classes:
                raise UserError(f"{files.predictions} holds several runs", "run `dvc repro`")
            if image not in paths:
                raise UserError(f"{files.images} has no image {image!r}", "run `dvc repro`")
            objects = tuple(chosen.of(prediction) if chosen else regions(prediction))
            name = image_files.name_of(paths[image], files.images)
            size = prediction.height, prediction.width
            yield AnnotatedImage(image, paths[image], name, *size, objects, classes)
        predictions.close()

    return Dataset(classes, len(names), read_images())


def regions(prediction: ImagePredictions) -> Iterator[Object]:
    """The classes' planes as objects; one without a pixel is none."""
    (shown,) = np.nonzero(prediction.masks.any(axis=(1, 2)))
    masks = prediction.masks[shown]
    areas, boxes = mask_areas(masks).tolist(), mask_boxes(masks, prediction.width).tolist()
    for number, mask, area, box in zip(shown, masks, areas, boxes, strict=True):
        yield Object(prediction.classes[number], mask, tuple(box), area)


class _Chosen:
    """The masks that an image's planes are made of: predictions.zarr has their ids."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._store = mask_store.MaskStore(files.masks)

    def of(self, prediction: ImagePredictions) -> Iterator[Object]:
        """The chosen masks of one image, with those of their pixels that are the class's.

        One that gave all its pixels to others is left out.
        """
        group = self._store.read(prediction.image)
        rows = dict(zip(group.ids.tolist(), range(len(group.ids)), strict=True))
        has_all = all(number in rows for number in prediction.ids.tolist())
        if not has_all or (group.height, group.width) != (prediction.height, prediction.width):
            raise self._stale(prediction.image)
        numbers = np.repeat(np.arange(len(prediction.classes)), prediction.chosen)
        for number, mask_id, score in zip(numbers, prediction.ids, prediction.scores, strict=True):
            mask = group.masks[rows[int(mask_id)]] & prediction.masks[number]
            if mask.any():
                (box,) = mask_boxes(mask[None], prediction.width).tolist()
                area = int(mask_areas(mask))
                yield Object(
                    prediction.classes[number], mask, tuple(box), area, int(mask_id), float(score)
                )

    def _stale(self, image: str) -> UserError:
        files = self._files
        return UserError(
            f"the prediction of image {image!r} in {files.predictions} is not of the masks in "
            f"{files.masks}",
            "run `dvc repro`",
        )
