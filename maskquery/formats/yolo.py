"""YOLO segmentation: copies of the images in images/, a text file for each in labels/, data.yaml.

https://docs.ultralytics.com/datasets/segment/. A row is a class's number and a polygon, x and y as
shares of width and height. The format knows one polygon a row and no holes: each connected part of
an object is a row of its own, and a polygon reaches its holes over bridges of no width. Points are
centres of pixels: `cv2.fillPoly` at the image's size, as Ultralytics rasterises, gives the object's
pixels back without a difference (see `outlines`).

data.yaml names the same images for training and validation, as the format asks for both.
"""

from pathlib import Path

import numpy as np

from maskquery.core import yaml_text
from maskquery.formats.copies import copy_images
from maskquery.formats.objects import AnnotatedImage, Dataset
from maskquery.formats.outlines import outlines
from maskquery.masks.packed import unpack

DIGITS = 6
"""Of a share: less than a tenth of a pixel in images of up to 100,000 pixels along a side."""


def write(folder: Path, dataset: Dataset) -> str:
    """Write images/, labels/ and data.yaml; nothing more to say."""
    for image in copy_images(dataset.images, folder / "images"):
        path = folder / labels_of(f"images/{image.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(rows(image, dataset.classes)), encoding="ascii")
    data = {"train": "images", "val": "images", "names": dict(enumerate(dataset.classes))}
    text = yaml_text.dump(data)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return ""


def labels_of(image: str) -> str:
    """Where Ultralytics looks for the labels of an image below the dataset's folder.

    It replaces the last folder `images` of the path, which may be one of the user's own.
    """
    parent, _, name = f"/{image}".rpartition("/images/")
    return f"{parent}/labels/{name}".removeprefix("/").rpartition(".")[0] + ".txt"


def rows(image: AnnotatedImage, classes: tuple[str, ...]) -> list[str]:
    """A line for each connected part of each object; at least three points, as the format asks."""
    lines = []
    size = np.array([image.width, image.height])
    for one in image.objects:
        for points in outlines(unpack(one.mask, image.width)):
            shares = (points + 0.5) / size
            shares = np.concatenate([shares, *[shares[-1:]] * (3 - len(shares))])
            numbers = " ".join(f"{share:.{DIGITS}f}" for share in shares.reshape(-1))
            lines.append(f"{classes.index(one.name)} {numbers}\n")
    return lines
