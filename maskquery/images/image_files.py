"""Find, read and decode images, in a folder, in archives or in a bucket."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.images import names, pixels, sources
from maskquery.images.names import SUFFIXES
from maskquery.images.opening import MAX_BYTES, MAX_PIXELS, expect_pixels, open_image, read_bytes
from maskquery.images.sources import File

__all__ = ["MAX_BYTES", "MAX_PIXELS", "expect_pixels", "open_image", "read_bytes"]


def find(source: Path) -> dict[str, File]:
    """Find the images of a source.

    An image's id is its path without the suffix: below the folder, in its archive, or below the
    listing's URL. So it stays the same if a folder is packed, or moved into a bucket. Hidden files
    and folders are skipped, and so are files that are not images.

    >>> from PIL import Image
    >>> Path("photos/kitchen").mkdir(parents=True)
    >>> Image.new("RGB", (8, 6)).save("photos/kitchen/a.png")
    >>> list(find(Path("photos")))
    ['kitchen/a']

    Args:
        source: a folder, which may hold files and .tar or .zip archives; or one such archive; or a
            listing of a bucket (see `images.buckets`; the bucket itself is not read); or an image,
            whose id is its name without the suffix.

    Returns:
        The file of each image, by id, sorted.

    Raises:
        UserError: there is no such source or no image in it, two files have one id, a name is not
            valid UTF-8 or leads out of its archive, a link leads nowhere, a folder is a link (DVC
            does not look into those, and would miss a change), or an archive is damaged.
    """
    return _find_images(source)[0]


def _find_images(source: Path) -> tuple[dict[str, File], Counter[str]]:
    """As `find`, and the number of images of each kind that is not read, by suffix."""
    images: dict[str, File] = {}
    others = Counter[str]()
    for name, file in sources.files_of(source):
        if not names.is_image(name):
            suffix = PurePosixPath(name).suffix.lower()
            others.update({suffix} & names.OTHER_SUFFIXES)
            continue
        image = names.image_id(name)
        if image in images:
            raise UserError(
                f"{images[image]} and {file} would both be image {image!r}", "rename one"
            )
        images[image] = file
    if not images:
        besides = f", but {_describe_others(others)}" if others else ""
        raise UserError(f"{source} holds no images ({', '.join(SUFFIXES)}){besides}")
    return dict(sorted(images.items())), others


def _describe_others(others: Counter[str]) -> str:
    return f"{others.total()} pictures of kinds that are not read: {', '.join(sorted(others))}"


class WatchedSource:
    """The images of a source, and a check that they do not change while a stage runs.

    Attributes:
        paths: the file of each image, by id, as from `find`.
        others: the number of images of each kind that is not read, by suffix.
    """

    def __init__(self, source: Path) -> None:
        """Find the images, and compare a listing with its bucket.

        Raises:
            UserError: as `find`; or a listed object has changed or was removed.
        """
        self._source = source
        self.paths, self.others = _find_images(source)
        self._stamps = sources.stamps(self.paths)
        sources.expect_current(source)

    def expect_unchanged(self) -> None:
        """Raise an error if a file was added, removed or changed since this object was made.

        DVC hashes the source at the end of a stage: it would take an output of the older files for
        up to date.

        Raises:
            UserError: naming the first such file.
        """
        paths = find(self._source)
        stamps = sources.stamps(paths)
        for image in sorted(stamps.keys() | self._stamps.keys()):
            if stamps.get(image) != self._stamps.get(image):
                path = self.paths.get(image) or paths[image]
                raise UserError(
                    f"{path} was added, removed or changed while the stage ran",
                    "run `dvc repro` again; what is done is kept",
                )
        sources.expect_current(self._source)


def name_of(file: File, source: Path) -> str:
    """The path of an image's file in its source, "a/b.png": its id and its suffix."""
    if file == source or not isinstance(file, Path):
        return file.name
    return file.relative_to(source).as_posix()


def read(path: File, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """Read and decode an image file; see `decode`."""
    return decode(read_bytes(path), path, max_pixels)


def decode(data: bytes, path: File, max_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Decode an image as RGB, turned by its EXIF orientation.

    Transparent pixels are composed on white, and colours of another ICC profile converted to sRGB;
    the table in `images.pixels` has all conversions. Only the first of several frames is decoded.

    Args:
        data: the file's bytes.
        path: the file, for messages.
        max_pixels: a larger image is refused before it is decoded; None for any size.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: naming the file; it is damaged, of a format that is not read, too large, or its
            samples cannot be converted to RGB.
    """
    with open_image(path, data, max_pixels=max_pixels) as image:
        pixels.expect_rgb(image)
        return np.array(pixels.to_rgb(image, data))


@dataclass(frozen=True)
class Header:
    """The header of an image file.

    Attributes:
        height, width: pixels, before the image is turned by its orientation.
        orientation: EXIF's, 1 to 8.
        conversions: see `pixels.conversions`.
    """

    height: int
    width: int
    orientation: int
    conversions: tuple[str, ...]


def read_header(data: bytes, path: File, max_pixels: int) -> Header:
    """Read an image's header; no pixel is decoded.

    Raises:
        UserError: as `decode`, for its size or kind.
    """
    with open_image(path, data, max_pixels=max_pixels) as image:
        pixels.expect_rgb(image)
        width, height = image.size
        return Header(height, width, pixels.orientation(image), pixels.conversions(image))


def size(path: File) -> tuple[int, int]:
    """Height and width of the image that `read` would return; no pixel is decoded.

    Raises:
        UserError: naming the file, if its header cannot be read.
    """
    with open_image(path, max_pixels=None) as image:
        return pixels.upright_size(image)
