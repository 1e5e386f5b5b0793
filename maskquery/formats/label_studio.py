"""Label Studio: tasks.json with pre-annotations as brush masks, config.xml with the labels.

https://labelstud.io/guide/predictions and https://labelstud.io/tags/brushlabels. A brush mask is an
image of 4 bytes a pixel (0 or 255 in all four; the fourth, alpha, counts), along the rows, packed
by `rle-pack` (https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack), bit by bit:

- 32 bits, the number of bytes; 5 bits, the bits of a value less 1; 4 times 4 bits, sizes less 1;
- then for each run: 1 bit, set; 2 bits, which of the 4 sizes; so many bits, the run's length less
  1; the value. (An unset bit starts values one by one; masks never need it.)
"""

import bisect
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from maskquery.formats.colours import palette
from maskquery.formats.cvat import runs
from maskquery.formats.objects import AnnotatedImage, Dataset, Object
from maskquery.masks.packed import unpack

IMAGE_URL = "/data/local-files/?d="
"""What stands before an image's name: Label Studio's own address of local files."""

SIZES = (3, 4, 8, 16)
"""Bits of a run's length; those that Label Studio itself uses."""

_VALUES = (f"{0:08b}", f"{255:08b}")
_FROM, _TO = "label", "image"


def write(folder: Path, dataset: Dataset, image_url: str) -> str:
    """Write tasks.json and config.xml; what is said of the images' addresses."""
    tasks = [
        {
            "data": {"image": image_url + quote(image.name)},
            "predictions": [{"model_version": "retrieval", "result": results(image)}],
        }
        for image in dataset.images
    ]
    text = json.dumps(tasks, ensure_ascii=False)
    (folder / "tasks.json").write_text(text, encoding="utf-8")
    view = ElementTree.ElementTree(config(dataset.classes))
    ElementTree.indent(view)
    view.write(folder / "config.xml", encoding="utf-8")
    return f"images are at {image_url}PATH"


def config(classes: tuple[str, ...]) -> ElementTree.Element:
    """The labelling interface that the tasks need."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", {"name": _TO, "value": "$image", "zoom": "true"})
    labels = ElementTree.SubElement(view, "BrushLabels", {"name": _FROM, "toName": _TO})
    for name, colour in zip(classes, palette(len(classes) + 1)[1:], strict=True):
        background = f"#{colour.tobytes().hex()}"
        ElementTree.SubElement(labels, "Label", {"value": name, "background": background})
    return view


def results(image: AnnotatedImage) -> list[dict[str, Any]]:
    """One region for each object; a single mask has its score as `score`."""
    size = {"original_width": image.width, "original_height": image.height, "image_rotation": 0}
    return [
        {
            "id": f"object-{number}",
            "type": "brushlabels",
            "from_name": _FROM,
            "to_name": _TO,
            **size,
            "value": value(one, image.width),
            **({} if one.score is None else {"score": round(one.score, 6)}),
        }
        for number, one in enumerate(image.objects)
    ]


def value(one: Object, width: int) -> dict[str, Any]:
    """An object's pixels and label."""
    pixels = unpack(one.mask, width).reshape(-1)
    return {"format": "rle", "rle": list(brush(pixels)), "brushlabels": [one.name]}


def brush(pixels: npt.NDArray[np.bool_]) -> bytes:
    """(P,) bool as a brush mask of P pixels."""
    bits = [f"{4 * len(pixels):032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for number, pixels_in_run in enumerate(runs(pixels)):
        length, colour = 4 * pixels_in_run, _VALUES[number % 2]
        while length:
            part = min(length, 1 << SIZES[-1])
            size = bisect.bisect_left(SIZES, (part - 1).bit_length())
            bits.append(f"1{size:02b}{part - 1:0{SIZES[size]}b}{colour}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)
