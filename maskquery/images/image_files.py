"""Find, read and decode images, wherever they are: in a folder, in archives or in a bucket."""

import contextlib
import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from maskquery.core.errors import UserError
from maskquery.images import names, sources
from maskquery.images.names import SUFFIXES
from maskquery.images.sources import File

MAX_PIXELS = 178_956_970
"""The limit where no other is given: at which Pillow takes an image for a decompression bomb."""

MAX_BYTES = 2**30
"""A larger file is no image that could be decoded, but a mistake or a bomb."""

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
        raise UserError(f"{source} holds no images ({', '.join(SUFFIXES)})")
    return dict(sorted(found.items())), others


class Watched:
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


def read_bytes(path: File) -> bytes:
    """The bytes of an image file, not decoded.

    Raises:
        UserError: it has gone, must not be read, is too large, or its archive is damaged.
        FatalError: the storage that it is in cannot be reached.
    """
    try:
        size = path.stat().st_size if isinstance(path, Path) else path.size
        if size > MAX_BYTES:
            raise UserError(
                f"{path} has {size} bytes, more than an image may have ({MAX_BYTES})", "remove it"
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def read(path: File, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """As `decode`, of a file."""
    return decode(read_bytes(path), path, max_pixels)


def decode(data: bytes, path: File, max_pixels: int | None) -> npt.NDArray[np.uint8]:
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


def expect_size(data: bytes, path: File, max_pixels: int) -> None:
    """Refuse an image that `decode` would refuse for its size or kind; its header alone is read.

    Raises:
        UserError: as `decode`.
    """
    with opened(path, data, max_pixels=max_pixels):
        pass


def expect_pixels(path: File, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse an image that would take too much memory.

    Raises:
        UserError: it has more pixels than `max_pixels`.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise UserError(
            f"{path} has {width} x {height} pixels, more than max_pixels ({max_pixels}) lets in",
            "make it smaller, remove it, or raise max_pixels in params.yaml",
        )


def size(path: File) -> tuple[int, int]:
    """H, W of what `read` would give; pixels are not decoded, except in a PNG without EXIF.

    Raises:
        UserError: naming the file, if its header cannot be read.
    """
    with opened(path, max_pixels=None) as image:
        width, height = image.size
        # Of a TIFF, Pillow tells the size after turning it.
        turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


@contextlib.contextmanager
def opened(
    path: File, data: bytes | None = None, *, max_pixels: int | None = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image; what goes wrong with it until it is closed is a `UserError` with its name.

    Args:
        path: the file.
        data: its bytes, if they are known.
        max_pixels: as in `decode`.
    """
    if data is None:
        stream: Path | io.BytesIO = path if isinstance(path, Path) else io.BytesIO(read_bytes(path))
    else:
        stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata; what hurts the pixels is an error
            with Image.open(stream) as image:
                expect_pixels(path, *image.size, max_pixels)
                yield image
    except _UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as an image ({_why(error, path, data)})", "replace or remove it"
        ) from None


def _why(error: Exception, path: File, data: bytes | None) -> str:
    if data is None and isinstance(path, Path) and path.is_file() and not path.stat().st_size:
        data = b""
    if data == b"":
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
