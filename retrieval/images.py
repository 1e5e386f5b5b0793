"""Find and decode images."""

import contextlib
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from retrieval.errors import UserError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

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
    Image.DecompressionBombError,
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


def read(path: Path) -> npt.NDArray[np.uint8]:
    """Decode an image: (H, W, 3) uint8, RGB, turned as its EXIF orientation says.

    Transparent pixels stand on white; 16-bit grey is cut to its upper 8 bits; of a file with
    several frames the first is taken.

    Raises:
        UserError: naming the file, if it is not a whole image of a kind that has a picture in RGB.
    """
    with opened(path) as image:
        image.load()
        return np.array(_rgb(ImageOps.exif_transpose(image)))


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
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; what goes wrong with it until it is closed is a `UserError` with its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata; what hurts the pixels is an error
            with Image.open(path) as image:
                yield image
    except _UNREADABLE as error:
        empty = path.is_file() and not path.stat().st_size
        what = "it is empty" if empty else " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read as an image ({what}): replace or remove it"
        ) from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"32-bit pixels (mode {image.mode}); save it with 8 bits per channel")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
