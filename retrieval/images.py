"""Find and decode images."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from retrieval.errors import UserError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

MAX_PIXELS = 178_956_970
"""The limit where no other is given: at which Pillow takes an image for a decompression bomb."""

Image.MAX_IMAGE_PIXELS = None  # the limit is checked here, before a pixel is decoded

_ORIENTATION = 0x0112
"""EXIF's tag; 5 to 8 swap height and width."""

_UNREADABLE = (
    OSError,
    SyntaxError,  # what Pillow raises for a broken PNG
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


def find(folder: Path) -> dict[str, Path]:
    """The images in `folder` and the folders in it: path by image id, sorted by id.

    An image's id is its path relative to `folder`, with "/" and without the suffix. Hidden files
    and folders are skipped, and files that are no images.

    Raises:
        UserError: there is no such folder or no image in it, two files have one id, a name is not
            valid UTF-8, a link leads nowhere, or a folder is a link (DVC does not look into those,
            and would miss a change).
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder: put images there, or set `images` in params.yaml"
        )
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (link := Path(parent, name)).is_symlink():
                raise UserError(
                    f"{_shown(link)} is a link to a folder: DVC does not see changes in it"
                )
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            image = _image_id(path, folder)
            if image in found:
                raise UserError(
                    f"{found[image]} and {path} would both be image {image!r}: rename one"
                )
            found[image] = path
    if not found:
        raise UserError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return dict(sorted(found.items()))


def _image_id(path: Path, folder: Path) -> str:
    if not path.is_file():
        raise UserError(f"{_shown(path)} is not a file: remove the link or put the image there")
    image = path.relative_to(folder).with_suffix("").as_posix()
    try:
        image.encode()
    except UnicodeEncodeError:
        raise UserError(f"{_shown(path)}: the name is not valid UTF-8: rename the file") from None
    return image


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


class Watched:
    """The images of a folder, and whether they stay as they are while a stage runs.

    Attributes:
        paths: as `find` gives them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths = find(folder)
        self._stamps = {image: _stamp(path) for image, path in self.paths.items()}

    def expect_unchanged(self) -> None:
        """Refuse to have read some images before a change and some after it.

        DVC notes down what the folder holds at the end, and would take the output for up to date.

        Raises:
            UserError: a file came, went or changed since this object was made.
        """
        paths = find(self._folder)
        now = {image: _stamp(path) for image, path in paths.items()}
        for image in sorted(now.keys() | self._stamps.keys()):
            if now.get(image) != self._stamps.get(image):
                path = self.paths.get(image) or paths[image]
                raise UserError(
                    f"{path} came, went or changed while the stage ran: run `dvc repro` again; "
                    "what is done is kept"
                )


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's contents; None if it has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file, not decoded.

    Raises:
        UserError: it has gone, or must not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def read(path: Path, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """As `decode`, of a file."""
    return decode(read_bytes(path), path, max_pixels)


def decode(data: bytes, path: Path, max_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Decode an image: (H, W, 3) uint8, RGB, turned as its EXIF orientation says.

    Transparent pixels stand on white; 16-bit grey is cut to its upper 8 bits; of a file with
    several frames the first is taken.

    Args:
        data: the file's bytes.
        path: the file, for messages.
        max_pixels: a larger image is refused before it is decoded; None for any size.

    Raises:
        UserError: naming the file, if it is not a whole image of a kind that has a picture in RGB,
            or has too many pixels.
    """
    with opened(path, data, max_pixels=max_pixels) as image:
        image.load()
        return np.array(_rgb(ImageOps.exif_transpose(image)))


def expect_size(data: bytes, path: Path, max_pixels: int) -> None:
    """Refuse an image that `decode` would refuse for its size or kind; its header alone is read.

    Raises:
        UserError: as `decode`.
    """
    with opened(path, data, max_pixels=max_pixels):
        pass


def expect_pixels(path: Path, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse an image that would take too much memory.

    Raises:
        UserError: it has more pixels than `max_pixels`.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise UserError(
            f"{path} has {width} x {height} pixels, more than max_pixels ({max_pixels}) "
            "lets in: make it smaller, remove it, or raise max_pixels in params.yaml"
        )


def size(path: Path) -> tuple[int, int]:
    """H, W of what `read` would give; pixels are not decoded, except in a PNG without EXIF.

    Raises:
        UserError: naming the file, if its header cannot be read.
    """
    with opened(path) as image:
        width, height = image.size
        # Of a TIFF, Pillow tells the size after turning it.
        turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


@contextlib.contextmanager
def opened(
    path: Path, data: bytes | None = None, *, max_pixels: int | None = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image; what goes wrong with it until it is closed is a `UserError` with its name.

    Args:
        path: the file.
        data: its bytes, if they are known.
        max_pixels: as in `decode`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata; what hurts the pixels is an error
            with Image.open(path if data is None else io.BytesIO(data)) as image:
                expect_pixels(path, *image.size, max_pixels)
                yield image
    except _UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as an image ({_why(error, path, data)}): replace or remove it"
        ) from None


def _why(error: Exception, path: Path, data: bytes | None) -> str:
    if data == b"" or (data is None and path.is_file() and not path.stat().st_size):
        return "it is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format"
    return " ".join(str(error).split())


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"32-bit pixels (mode {image.mode}); save it with 8 bits per channel")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
