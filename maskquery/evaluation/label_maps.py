"""Label maps as files: which hold every pixel's label as it was written, and reading them."""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

from maskquery.core.errors import UserError
from maskquery.images import opening, pixels
from maskquery.images.sources import File

Labels = npt.NDArray[np.integer]
Colours = npt.NDArray[np.uint8]
Palette = Mapping[int, tuple[int, int, int]]

_EXACT = 2.0**53
"""Below it every integer is a float64 of its own."""

_FAR = 32
"""Farther from every listed colour (L2 in RGB), no even patch of a JPEG is one of them."""

_EVEN = 16
"""A patch of 3 x 3 pixels is even if no channel varies by more: no edge runs through it."""

_LOSSY = {"jpeg": "JPEG in TIFF", "tiff_jpeg": "JPEG in TIFF", "webp": "WebP in TIFF"}
"""What Pillow calls the compressions of a TIFF that change pixels."""


def read_labels(
    path: File, palette: Palette, expect: Callable[[int, int], None] | None = None
) -> Labels:
    """Read a label map: (H, W) integer, of any dtype.

    Args:
        path: .npy of integers, or of floats that are whole; or a picture of one channel without
            loss, whose values are the labels; or a picture in colour, of which each pixel gets the
            label that has its colour. A PNG of indexed colours gives its indices if `palette` is
            empty. Of a JPEG in colour, which blurs edges, each pixel gets the nearest colour's.
        palette: colour of each label.
        expect: refuses a height and a width, before anything is decoded.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    data = opening.read_bytes(path)
    name = str(path).lower()
    labels = _npy(data, path) if name.endswith(".npy") else _picture(data, path, palette, expect)
    if expect:
        expect(*labels.shape)
    return labels


def read_shape(path: File) -> tuple[int, int]:
    """The height and width of a label map or an image, turned by its EXIF orientation.

    Only the header is read.

    Raises:
        UserError: naming the file; it cannot be read, or is no map.
    """
    data = opening.read_bytes(path)
    if not str(path).lower().endswith(".npy"):
        with opening.open_image(path, data, max_pixels=None) as image:
            return pixels.upright_size(image)
    try:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, _ = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, _ = np.lib.format.read_array_header_2_0(stream)
        height, width = shape
    except Exception as error:  # a damaged header makes numpy raise more than it documents
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as .npy ({reason}): replace it") from None
    return height, width


def _npy(data: bytes, path: File) -> Labels:
    try:
        # And not np.load, which takes archives and pickles too.
        labels: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged header makes numpy raise more than it documents
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as .npy ({reason}): replace it") from None
    if labels.ndim != 2:
        raise UserError(f"{path} has the shape {labels.shape}: labels are (height, width)")
    kind = labels.dtype.kind
    if kind not in "iubf":
        raise UserError(f"{path} holds {labels.dtype}: labels are integers")
    wide = labels.astype(np.promote_types(labels.dtype, np.float64)) if kind == "f" else labels
    if kind == "f" and not np.all((np.abs(wide) < _EXACT) & (wide == np.trunc(wide))):
        raise UserError(f"{path} holds numbers that are not whole: labels are integers")
    return labels if kind in "iu" else labels.astype(np.int64)


def _picture(
    data: bytes, path: File, palette: Palette, expect: Callable[[int, int], None] | None
) -> Labels:
    limit = None if expect else opening.MAX_PIXELS
    with opening.open_image(path, data, max_pixels=limit) as image:
        if expect:
            expect(*pixels.upright_size(image))
        samples, spread, loss = pixels.samples_of(image), _spread(image), _loss(image, data)
        _expect_one_page(image, path)
        image.load()
        turned = ImageOps.exif_transpose(image)
    if turned.mode in ("1", "L", "I") or turned.mode.startswith("I;16"):
        return _grey(turned, path, samples, spread, loss)
    if turned.mode == "P" and not palette:
        return np.array(turned)
    return _colour(turned, path, samples, palette, loss)


def _grey(
    image: Image.Image, path: File, samples: pixels.Samples, spread: int, loss: str
) -> Labels:
    if loss:
        raise UserError(f"{path} is a grey {loss}, which changes labels: save it as PNG")
    if samples.white_is_zero:
        raise UserError(f"{path} has 0 for white, by which labels are turned: save it as PNG")
    if samples.sign != "unsigned integers" and samples.bits < 16:
        raise UserError(f"{path} has {samples}: save it as PNG, or as .npy")
    labels = np.array(image)
    if labels.dtype == np.bool_:
        return labels.astype(np.uint8)
    if labels.dtype == np.int32 and samples.sign == "unsigned integers":
        return labels.view(np.uint32)  # which Pillow does not know
    divided: Labels = labels // spread if spread > 1 else labels
    return divided


def _colour(
    image: Image.Image, path: File, samples: pixels.Samples, palette: Palette, loss: str
) -> Labels:
    if image.mode == "LA":
        raise UserError(f"{path} is grey with alpha: save it with one channel, the labels")
    if image.mode not in ("P", "RGB", "RGBA") or samples.bits > 8:
        kind = f"pixels of mode {image.mode}" if samples.bits <= 8 else str(samples)
        raise UserError(f"{path} has {kind}: labels are integers or RGB colours of 8 bits")
    if image.mode == "RGBA" and np.asarray(image.getchannel("A")).min() < 255:
        raise UserError(f"{path} has transparent pixels, which have no label: save it as RGB")
    colours = np.asarray(image.convert("RGB"))
    if not palette:
        if (colours[..., :1] == colours).all():
            raise UserError(f"{path} has three channels, all the same: save it with one")
        raise UserError(f"{path} is in colour: give each label's colour in ground_truth.palette")
    if not loss:
        return _to_labels(colours, palette, path)
    if "WebP" in loss:
        raise UserError(f"{path} is a {loss}, which changes labels: save it as PNG")
    return _nearly(colours, palette, path)


def _spread(image: Image.Image) -> int:
    """What Pillow multiplies labels by in a grey picture of 2 or 4 bits, to fill 0 to 255."""
    tile = str(getattr(image, "tile", ""))
    return next((255 // (2**bits - 1) for bits in (2, 4) if f"'L;{bits}" in tile), 1)


def _loss(image: Image.Image, data: bytes) -> str:
    """What changed the pixels when the file was written, "JPEG", say; "" if nothing did."""
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "WEBP":
        return "" if _is_lossless_webp(data) else "lossy WebP"
    return _LOSSY.get(str(image.info.get("compression")), "") if image.format == "TIFF" else ""


def _is_lossless_webp(data: bytes) -> bool:
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8L", b"VP8 ", b"ANMF"):
            return name == b"VP8L"
        place += 8 + size + size % 2
    return False


def _expect_one_page(image: Image.Image, path: File) -> None:
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.n_frames > 1:
        raise UserError(f"{path} has {image.n_frames} pages: a label map has one")


def _to_labels(colours: Colours, palette: Palette, path: File) -> Labels:
    """The label of each colour, of several the lowest: (H, W, 3) to (H, W).

    Raises:
        UserError: a colour is not listed.
    """
    known: dict[int, int] = {}
    for label in sorted(palette, reverse=True):
        known[_code(palette[label])] = label
    order = sorted(known)
    codes = colours.astype(np.int32) @ np.array([2**16, 2**8, 1], np.int32)
    place = np.searchsorted(order, codes)
    place[place == len(order)] = 0
    unlisted = np.array(order, np.int32)[place] != codes
    if unlisted.any():
        raise _not_listed(colours[unlisted], palette, path)
    return np.array([known[code] for code in order], np.int64)[place]


def _code(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def _nearly(colours: Colours, palette: Palette, path: File) -> Labels:
    """The label of the nearest colour, in a picture whose edges are blurred.

    Raises:
        UserError: a patch that is no edge has a colour far from all that are listed.
    """
    import cv2

    labels, distance = nearest(colours, palette)
    far = distance > _FAR**2
    if far.any():
        square = np.ones((3, 3), np.uint8)
        spread = cv2.dilate(colours, square) - cv2.erode(colours, square)
        far &= spread.max(axis=-1) <= _EVEN
        if far.any():
            raise _not_listed(colours[far], palette, path)
    return labels


def _not_listed(colours: Colours, palette: Palette, path: File) -> UserError:
    """About colours, (N, 3), that are not listed."""
    counts = Counter(map(tuple, colours.tolist()))
    [(colour, count)] = counts.most_common(1)
    others = f" ({len(colours)} with {len(counts) - 1} other colours)" if len(counts) > 1 else ""
    label = int(nearest(np.array([[colour]], np.uint8), palette)[0][0, 0])
    return UserError(
        f"{path}: {count} pixels{others} have the colour {list(colour)}, which "
        f"ground_truth.palette does not list (the nearest is label {label}, "
        f"{list(palette[label])}): list it, with a label of no class if it is none"
    )


def nearest(colours: Colours, palette: Palette) -> tuple[Labels, npt.NDArray[np.int32]]:
    """The label of the nearest colour (L2 in RGB; of several the lowest), and the distance.

    Returns:
        (H, W, 3) to (H, W) labels and (H, W) squared distances.
    """
    names = np.array(sorted(palette), np.int64)
    best = np.full(colours.shape[:2], np.iinfo(np.int32).max, np.int32)
    index = np.zeros(colours.shape[:2], np.intp)
    wide = colours.astype(np.int32)
    for position, label in enumerate(names):
        distance = np.square(wide - np.array(palette[int(label)], np.int32)).sum(axis=-1)
        nearer = distance < best
        best[nearer], index[nearer] = distance[nearer], position
    return names[index], best
