"""The one place where files of pictures are opened: which formats, and how large they may be."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from maskquery.core.errors import UserError
from maskquery.images import kinds, names, pixels, regular
from maskquery.images.sources import File

MAX_PIXELS = 178_956_970
"""The limit where no other is given: at which Pillow takes an image for a decompression bomb."""

MAX_BYTES = 2**30
"""A larger file is no image that could be decoded, but a mistake or a bomb."""

Image.MAX_IMAGE_PIXELS = None  # the limit is checked here, before a pixel is decoded

_TILE = (322, 323)
"""TIFF's tags of a tile's width and height."""

_SMALL = 2**22
"""A tile of so many pixels may be larger than its picture."""

_UNREADABLE = (
    OSError,
    SyntaxError,  # what Pillow raises for a broken PNG
    ValueError,
    ArithmeticError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


def read_bytes(path: File) -> bytes:
    """The bytes of an image file, not decoded.

    Raises:
        UserError: it has gone, must not be read, is no file, is too large, has a name that no file
            can have, or its archive is damaged.
        FatalError: the storage that it is in cannot be reached.
    """
    try:
        if not isinstance(path, Path):
            names.expect_length(path.name, path)
            _expect_bytes(path, path.size)
            return path.read_bytes()
        with regular.open_file(path) as file:
            _expect_bytes(path, os.fstat(file.fileno()).st_size)
            return file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def _expect_bytes(path: File, size: int) -> None:
    if size > MAX_BYTES:
        raise UserError(
            f"{path} has {size} bytes, more than an image may have ({MAX_BYTES}): remove it"
        )


def expect_pixels(path: File, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse an image that would take too much memory.

    Raises:
        UserError: it has more pixels than `max_pixels`.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise UserError(
            f"{path} has {width} x {height} pixels, more than max_pixels ({max_pixels}) "
            "lets in: make it smaller, remove it, or raise max_pixels in params.yaml"
        )


@contextlib.contextmanager
def opened(
    path: File, data: bytes | None = None, *, max_pixels: int | None = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open a picture of one of `kinds.FORMATS`; nothing else in the library opens any.

    What goes wrong with it until it is closed is a `UserError` with its name.

    Args:
        path: the file.
        data: its bytes, if they are known.
        max_pixels: as in `decode`.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_stream(path, data))
        head = stream.read(kinds.HEAD)
        stream.seek(0)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # damaged metadata; what hurts the pixels is an error
        try:
            if webp := _webp_size(head):  # Pillow takes memory for all pixels when it opens one
                expect_pixels(path, *webp, max_pixels)
            image = stack.enter_context(Image.open(stream, formats=kinds.FORMATS))
            expect_pixels(path, *image.size, max_pixels)
            _expect_tiles(image)
            pixels.expect_whole(image)
            yield image
        except _UNREADABLE as error:
            why = _why(error, head, stream)
            raise UserError(
                f"{path} cannot be read as an image ({why}): replace or remove it"
            ) from None


def _stream(path: File, data: bytes | None) -> BinaryIO:
    if data is None and isinstance(path, Path):
        try:
            return regular.open_file(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror})") from None
    return io.BytesIO(read_bytes(path) if data is None else data)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP file of the extended kind, whose header may say anything."""
    if head[:4] + head[8:16] != b"RIFFWEBPVP8X" or len(head) < 30:
        return None
    return (
        1 + int.from_bytes(head[24:27], "little"),
        1 + int.from_bytes(head[27:30], "little"),
    )


def _expect_tiles(image: Image.Image) -> None:
    """Refuse a TIFF whose tiles are larger than itself: memory is taken for a whole tile."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (int(image.tag_v2.get(tag, 1)) for tag in _TILE)
        if width * height > max(image.width * image.height, _SMALL):
            raise ValueError(f"its tiles have {width} x {height} pixels, more than itself")


def _why(error: Exception, head: bytes, stream: BinaryIO) -> str:
    if not head:
        return "it is empty"
    if not isinstance(error, UnidentifiedImageError):
        return " ".join(str(error).split())
    stream.seek(0)
    if samples := pixels.tiff_samples(stream):
        return pixels.words(samples)
    kind = kinds.name_of(head)
    return f"it is {kind}; {kinds.READ}" if kind else "it is not an image of a known format"
