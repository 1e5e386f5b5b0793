"""CVAT for images 1.1: one XML file with a <mask> for each object, for a task that has the images.

https://docs.cvat.ai/docs/manual/advanced/xml_format/. A mask's `rle` are lengths of runs along the
rows of its box, from the top left corner on, of background first (0 if the corner is set). `name`
is the image's path inside the folder of images: give the task the images under these names.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.formats.colours import palette
from maskquery.formats.objects import AnnotatedImage, Dataset, Object
from maskquery.masks.packed import unpack

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def write(folder: Path, dataset: Dataset) -> str:
    """Write annotations.xml; nothing more to say."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    root.append(_meta(dataset))
    for number, image in enumerate(dataset.images):
        root.append(_image(number, image))
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)
    return ""


def _meta(dataset: Dataset) -> ElementTree.Element:
    meta = ElementTree.Element("meta")
    task = ElementTree.SubElement(meta, "task")
    for key, text in (("size", str(dataset.count)), ("mode", "annotation"), ("flipped", "False")):
        ElementTree.SubElement(task, key).text = text
    labels = ElementTree.SubElement(task, "labels")
    colours = palette(len(dataset.classes) + 1)[1:]
    for name, colour in zip(dataset.classes, colours, strict=True):
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = _text(name)
        ElementTree.SubElement(label, "color").text = f"#{colour.tobytes().hex()}"
        ElementTree.SubElement(label, "type").text = "mask"
        ElementTree.SubElement(label, "attributes")
    return meta


def _image(number: int, image: AnnotatedImage) -> ElementTree.Element:
    size = {"width": str(image.width), "height": str(image.height)}
    element = ElementTree.Element("image", {"id": str(number), "name": _text(image.name), **size})
    for one in image.objects:
        ElementTree.SubElement(element, "mask", _mask(one, image.width))
    return element


def _mask(one: Object, width: int) -> dict[str, str]:
    x0, y0, x1, y1 = one.box
    box = {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
    lengths = runs(unpack(one.mask, width)[y0:y1, x0:x1].reshape(-1))
    return {
        "label": _text(one.name),
        "source": "auto",
        "occluded": "0",
        "rle": ", ".join(map(str, lengths)),
        **{key: str(value) for key, value in box.items()},
        "z_order": "0",
    }


def runs(pixels: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of (P,) bool, of False and True in turn, of False first (maybe 0)."""
    changes = np.flatnonzero(np.diff(pixels, prepend=False))
    lengths: list[int] = np.diff(changes, prepend=0, append=len(pixels)).tolist()
    return lengths


def _text(name: str) -> str:
    if wrong := _NO_XML.search(name):
        raise UserError(
            f"{name!r} has the character {wrong[0]!r}, which XML cannot hold", "rename it"
        )
    return name
