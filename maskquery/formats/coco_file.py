"""A COCO annotations file, checked before pycocotools sees it: its C code trusts what it gets."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic
from pycocotools import mask as coco_mask

from maskquery.core.errors import UserError

Bools = npt.NDArray[np.bool_]

_MOST_BITS = 60  # of a number in compressed RLE
Polygon = Annotated[list[float], pydantic.Field(min_length=6)]
Side = Annotated[int, pydantic.Field(ge=1)]
Length = Annotated[int, pydantic.Field(ge=0)]


class Rle(pydantic.BaseModel):
    """Run lengths along the columns, as numbers or as COCO's compressed text."""

    size: tuple[int, int]
    counts: str | Annotated[list[Length], pydantic.Field(min_length=1)]


class Annotation(pydantic.BaseModel):
    """One object, or with `iscrowd` a group of them; without segmentation it is a box alone."""

    id: int = 0
    image_id: int
    category_id: int
    segmentation: Rle | list[Polygon] = []


class Image(pydantic.BaseModel):
    """An image; the file's name is a path in the folder of images."""

    id: int
    file_name: str
    height: Side
    width: Side


class Category(pydantic.BaseModel):
    """What an annotation shows."""

    id: int
    name: str


class File(pydantic.BaseModel):
    """What is read of a COCO file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def read(path: Path) -> File:
    """Read a COCO file.

    Raises:
        UserError: it cannot be read, is not of the format, or its parts do not fit together.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    try:
        text = data.decode(json.detect_encoding(data))  # UTF-16 and byte order marks, too
        file = File.model_validate_json(text)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not COCO JSON: it is no text") from None
    except pydantic.ValidationError as error:
        if '"segments_info"' in text[:1_000_000]:
            raise UserError(
                f"{path} is panoptic COCO JSON, which is not read", "give the one with instances"
            ) from None
        first = error.errors(include_url=False)[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"]
        if "segmentation" in first["loc"] and first["type"] == "model_type":
            # Pydantic tells of what is wrong with each kind, RLE first.
            place = place.partition(".segmentation")[0] + ".segmentation"
            message = "must be polygons of 3 points or more (x, y, x, y, ...), or RLE"
        raise UserError(f"{path} is not COCO JSON: {place}: {message}") from None
    for kind, ids in (
        ("images", [image.id for image in file.images]),
        ("categories", [category.id for category in file.categories]),
    ):
        if twice := _twice(ids):
            raise UserError(f"{path}: two {kind} have the id {twice[0]}")
    images = {image.id for image in file.images}
    categories = {category.id for category in file.categories}
    for annotation in file.annotations:
        for key, numbers in (("image_id", images), ("category_id", categories)):
            number = getattr(annotation, key)
            if number not in numbers:
                raise UserError(f"{path}: annotation {annotation.id}: there is no {key} {number}")
    return file


def _twice(ids: Iterable[int]) -> list[int]:
    return [number for number, count in Counter(ids).items() if count > 1]


def pixels(annotation: Annotation, height: int, width: int) -> Bools:
    """The annotation's pixels, (H, W), just as COCO's own `annToMask` has them.

    Raises:
        ValueError: it cannot lie in an image of this size, or has no segmentation.
    """
    segmentation = annotation.segmentation
    if not segmentation:
        raise ValueError("it is a box without a segmentation, from which no pixels follow")
    if isinstance(segmentation, Rle):
        encoded = _check_rle(segmentation, height, width)
    else:
        for polygon in segmentation:
            _expect_inside(polygon, height, width)
        encoded = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    mask: Bools = coco_mask.decode(encoded).view(np.bool_)
    return mask


def _check_rle(rle: Rle, height: int, width: int) -> dict[str, object]:
    if rle.size != (height, width):
        raise ValueError(f"its size is {rle.size} and the image's (height, width) {height, width}")
    counts = lengths(rle.counts) if isinstance(rle.counts, str) else rle.counts
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(f"its counts are of {sum(counts)} pixels, not {height * width}")
    encoded: dict[str, object] = coco_mask.frPyObjects(
        {"size": [height, width], "counts": counts}, height, width
    )
    return encoded


def lengths(text: str) -> list[int]:
    """The run lengths that compressed RLE stands for; pycocotools would read beyond a torn text.

    A number is written 5 bits at a time, the lowest first, each as a character from "0" on whose
    sixth bit says that there are more; the last has the sign. From the fourth number on they are
    differences to the number before the last (`rleToString` in COCO's maskApi.c).

    Raises:
        ValueError: it is not such a text.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        if shift > _MOST_BITS:
            raise ValueError("its counts have a number that no image has pixels for")
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its counts have the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift or not counts:
        raise ValueError("its counts end too early")
    return counts


def _expect_inside(polygon: list[float], height: int, width: int) -> None:
    """Refuse what is no polygon, and coordinates for which rasterising would take all memory."""
    if len(polygon) % 2:
        raise ValueError(f"a polygon has {len(polygon)} coordinates")
    for value, side in zip(polygon, (width, height) * (len(polygon) // 2), strict=True):
        if not math.isfinite(value) or not -side <= value <= 2 * side:
            raise ValueError(f"a polygon goes to {value}, far outside of {width} x {height} pixels")
