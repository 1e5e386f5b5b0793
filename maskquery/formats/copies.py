"""Copies of the images, for formats that hold them beside their labels."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from maskquery.formats.objects import AnnotatedImage
from maskquery.images.image_files import read_bytes


def copy_images(images: Iterable[AnnotatedImage], folder: Path) -> Iterator[AnnotatedImage]:
    """Each image as it is, once its file stands in `folder` under its name.

    Not linked: what a tool changes in its own folder must not change the pipeline's images.
    """
    for image in images:
        path = folder / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_bytes(image.path))
        yield image
