"""COCO JSON: every object's pixels as compressed RLE, made by pycocotools.

https://cocodataset.org/#format-data. Ids of images, categories and annotations count from 1, as
some readers take 0 for "none". `file_name` is the image's path inside the folder of images. A
single mask has its score as `score`, and its id as text: JSON readers cut integers above 2^53.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskquery.formats.objects import AnnotatedImage, Dataset, Object
from maskquery.masks.packed import Packed, unpack


def write(folder: Path, dataset: Dataset) -> str:
    """Write annotations.json; nothing more to say."""
    write_file(folder / "annotations.json", dataset)
    return ""


def write_file(path: Path, dataset: Dataset) -> None:
    """Write one COCO file; all annotations are in memory at a time."""
    categories = {name: number for number, name in enumerate(dataset.classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers = itertools.count(1)
    for image_id, image in enumerate(dataset.images, start=1):
        size = {"height": image.height, "width": image.width}
        images.append({"id": image_id, "file_name": image.name, **size})
        for one in image.objects:
            place = {"id": next(numbers), "image_id": image_id}
            annotations.append(place | annotation(one, categories[one.name], image))
    document = {
        "info": {"description": "Objects found by text"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for name, number in categories.items()
        ],
    }
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def annotation(one: Object, category: int, image: AnnotatedImage) -> dict[str, Any]:
    """One object, without its own id and that of its image."""
    x0, y0, x1, y1 = one.box
    return {
        "category_id": category,
        "segmentation": rle(one.mask, image.width),
        "area": one.area,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
        **dict(_of_a_mask(one)),
    }


def _of_a_mask(one: Object) -> Iterator[tuple[str, float | str]]:
    if one.score is not None:
        yield "score", round(one.score, 6)
        yield "mask_id", str(one.mask_id)


def rle(mask: Packed, width: int) -> dict[str, Any]:
    """Compressed RLE of (H, W8) packed bits, its counts as text."""
    pixels = np.asfortranarray(unpack(mask, width).view(np.uint8))
    encoded = coco_mask.encode(pixels)
    return {"size": [*pixels.shape], "counts": encoded["counts"].decode("ascii")}
