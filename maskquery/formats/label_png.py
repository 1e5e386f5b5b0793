"""Label PNGs: a grey image for each image, whose pixels are numbers of classes.

0 is no class, 1 the first class of classes.json. They have no palette, though people would see more
with one: OpenCV, and what reads with it, gives colours in place of an indexed image's numbers. A
pixel has one number, but may be of several classes: the class whose
region in the image is smaller lies on top, as a picture lies on its wall (of two equal ones the
first of classes.json). How many pixels that decided is in the closing line.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from maskquery.core import files
from maskquery.core.errors import UserError
from maskquery.formats.objects import AnnotatedImage, Dataset
from maskquery.masks.packed import unpack

MOST = 255
"""Classes that a PNG of 8 bits tells apart, beside "none"."""


def write(folder: Path, dataset: Dataset) -> str:
    """Write labels/IMAGE.png and classes.json; what is said of pixels of several classes."""
    if len(dataset.classes) > MOST:
        raise UserError(f"{len(dataset.classes)} classes do not fit into a PNG's {MOST} numbers")
    shared = 0
    for image in dataset.images:
        labels, several = label_map(image, dataset.classes)
        shared += several
        path = folder / "labels" / f"{image.image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path, optimize=True)
    names = {"0": "background"} | {str(n): name for n, name in enumerate(dataset.classes, start=1)}
    files.write_json(folder / "classes.json", names)
    return f"{shared} pixels of several classes went to the smallest region" if shared else ""


def label_map(image: AnnotatedImage, classes: tuple[str, ...]) -> tuple[npt.NDArray[np.uint8], int]:
    """Numbers of classes, (H, W), and how many pixels are of several.

    Args:
        image: with one object for each class at most.
        classes: C <= 255 names, numbered from 1.
    """
    labels = np.zeros((image.height, image.width), np.uint8)
    count = np.zeros(labels.shape, np.uint8)
    order = [(-one.area, -classes.index(one.name), one) for one in image.objects]
    for *_, one in sorted(order, key=lambda item: item[:2]):
        pixels = unpack(one.mask, image.width)
        labels[pixels] = classes.index(one.name) + 1
        count += pixels
    return labels, int((count > 1).sum())
