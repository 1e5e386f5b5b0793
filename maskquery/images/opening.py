"""The only place where image files are opened: their formats and their size are checked here."""

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
"""The default limit, Pillow's for a decompression bomb."""

MAX_BYTES = 2**30
"""No image that can be decoded has a larger file."""

Image.MAX_IMAGE_PIXELS = None  # the limit is checked here, before a pixel is decoded

_TILE = (322, 323)
"""The TIFF tags of a tile's width and height."""

_SMALL = 2**22
"""A tile of at most this many pixels may be larger than its image."""

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
    """Read the bytes of an image file, without decoding them.

    Raises:
        UserError: the file is missing, not readable, not a file, larger than `MAX_BYTES`, its name
            is too long, or its archive is damaged.
        FatalError: its bucket cannot be reached.
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
            f"{path} has {size} bytes, more than an image may have ({MAX_BYTES})", "remove it"
        )


def expect_pixels(path: File, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse an image of more than `max_pixels` pixels; None allows any.

    Raises:
        UserError: it has more pixels than `max_pixels`.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise UserError(
            f"{path} has {width} x {height} pixels, more than max_pixels ({max_pixels}) lets in",
            "make it smaller, remove it, or raise max_pixels in params.yaml",
        )


@contextlib.contextmanager
def open_image(
    path: File, data: bytes | None = None, *, max_pixels: int | None = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image of one of `kinds.FORMATS`. All images of the library are opened here.

    Args:
        path: the file.
        data: its bytes, if they are in memory already.
        max_pixels: a larger image is refused before a pixel is decoded; None for any size.

    Raises:
        UserError: naming the file, for every error until the image is closed.
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
                f"{path} cannot be read as an image ({why})", "replace or remove it"
            ) from None


def _stream(path: File, data: bytes | None) -> BinaryIO:
    if data is None and isinstance(path, Path):
        try:
            return regular.open_file(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror})") from None
    return io.BytesIO(read_bytes(path) if data is None else data)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in the header of an extended WebP file, which may be anything."""
    if head[:4] + head[8:16] != b"RIFFWEBPVP8X" or len(head) < 30:
        return None
    return (
        1 + int.from_bytes(head[24:27], "little"),
        1 + int.from_bytes(head[27:30], "little"),
    )


def _expect_tiles(image: Image.Image) -> None:
    """Refuse a TIFF whose tiles are larger than the image: Pillow allocates a whole tile."""
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
        return pixels.refusal(samples)
    kind = kinds.name_of(head)
    return f"it is {kind}; {kinds.READ}" if kind else "it is not an image of a known format"
