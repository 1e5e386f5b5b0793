"""Find, read and decode images, wherever they are: in a folder, in archives or in a bucket."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.images import names, pixels, sources
from maskquery.images.names import SUFFIXES
from maskquery.images.opening import MAX_BYTES, MAX_PIXELS, expect_pixels, opened, read_bytes
from maskquery.images.sources import File

__all__ = ["MAX_BYTES", "MAX_PIXELS", "expect_pixels", "opened", "read_bytes"]


def find(source: Path) -> dict[str, File]:
    """The images of `source`: where each is, by image id, sorted by id.

    An image's id is its path without the suffix: below the folder, in its archive, or below the
    listing's URL. So it stays the same when a folder is packed, or moved into a bucket. Hidden
    files and folders are skipped, and files that are no images.

    Args:
        source: a folder, in which files and .tar or .zip archives may stand side by side; or one
            such archive; or a listing of a bucket (see `images.buckets`), which is not asked; or
            an image, whose id is its name without the suffix.

    Raises:
        UserError: there is no such source or no image in it, two files have one id, a name is not
            valid UTF-8 or leads out of its archive, a link leads nowhere, a folder is a link (DVC
            does not look into those, and would miss a change), or an archive is damaged.
    """
    return _listed(source)[0]


def _listed(source: Path) -> tuple[dict[str, File], Counter[str]]:
    """As `find`, and how many pictures there are of each kind that is not read, by suffix."""
    found: dict[str, File] = {}
    others = Counter[str]()
    for name, file in sources.files_of(source):
        if not names.is_image(name):
            suffix = PurePosixPath(name).suffix.lower()
            others.update({suffix} & names.OTHER_SUFFIXES)
            continue
        image = names.image_id(name)
        if image in found:
            raise UserError(
                f"{found[image]} and {file} would both be image {image!r}", "rename one"
            )
        found[image] = file
    if not found:
        besides = f", but {_left_out(others)}" if others else ""
        raise UserError(f"{source} holds no images ({', '.join(SUFFIXES)}){besides}")
    return dict(sorted(found.items())), others


def _left_out(others: Counter[str]) -> str:
    return f"{others.total()} pictures of kinds that are not read: {', '.join(sorted(others))}"


class WatchedSource:
    """The images of a source, and whether they stay as they are while a stage runs.

    Attributes:
        paths: as `find` gives them.
        others: how many pictures of kinds that are not read lie beside them, by suffix.
    """

    def __init__(self, source: Path) -> None:
        """Find them; what a listing says is compared with the bucket.

        Raises:
            UserError: as `find`; and where the bucket holds something else by now.
        """
        self._source = source
        self.paths, self.others = _listed(source)
        self._stamps = sources.stamps(self.paths)
        sources.expect_current(source)

    def expect_unchanged(self) -> None:
        """Refuse to have read some images before a change and some after it.

        DVC notes down what the source holds at the end, and would take the output for up to date.

        Raises:
            UserError: a file came, went or changed since this object was made.
        """
        paths = find(self._source)
        now = sources.stamps(paths)
        for image in sorted(now.keys() | self._stamps.keys()):
            if now.get(image) != self._stamps.get(image):
                path = self.paths.get(image) or paths[image]
                raise UserError(
                    f"{path} came, went or changed while the stage ran",
                    "run `dvc repro` again; what is done is kept",
                )
        sources.expect_current(self._source)


def name_of(file: File, source: Path) -> str:
    """The path of an image's file in its source, "a/b.png": its id and its suffix."""
    if file == source or not isinstance(file, Path):
        return file.name
    return file.relative_to(source).as_posix()


def read(path: File, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """As `decode`, of a file."""
    return decode(read_bytes(path), path, max_pixels)


def decode(data: bytes, path: File, max_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Decode an image: (H, W, 3) uint8, RGB, turned as its EXIF orientation says.

    `images.pixels` says what becomes of which pixels: transparent ones stand on white, colours of
    another ICC profile are converted to sRGB. Of a file with several frames the first is taken.

    Args:
        data: the file's bytes.
        path: the file, for messages.
        max_pixels: a larger image is refused before it is decoded; None for any size.

    Raises:
        UserError: naming the file, if it is not a whole image of a format that is read and of
            pixels that can be made RGB, or has too many of them.
    """
    with opened(path, data, max_pixels=max_pixels) as image:
        pixels.expect_rgb(image)
        return np.array(pixels.to_rgb(image, data))


@dataclass(frozen=True)
class Header:
    """What an image's header says.

    Attributes:
        height, width: of the picture in the file, before it is turned.
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
    with opened(path, data, max_pixels=max_pixels) as image:
        pixels.expect_rgb(image)
        width, height = image.size
        return Header(height, width, pixels.orientation(image), pixels.conversions(image))


def size(path: File) -> tuple[int, int]:
    """H, W of what `read` would give; no pixel is decoded.

    Raises:
        UserError: naming the file, if its header cannot be read.
    """
    with opened(path, max_pixels=None) as image:
        return pixels.turned_size(image)
