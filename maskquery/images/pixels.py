"""Convert the samples of an image file, of any bands, bits and colours, to RGB of 8 bits.

| samples | conversion |
|---|---|
| 1, 2, 4, 8 bits, unsigned, 1 to 4 bands | none; palettes are applied |
| 12 or 16 bits, unsigned, grey or RGB | 8 bits, see `_scale`; the upper 8 where all 16 are used |
| WhiteIsZero | inverted, so that 0 is black |
| alpha | composed on white |
| an ICC profile that differs from sRGB | converted to sRGB |
| a profile that is damaged or of other bands; gAMA, cHRM | ignored, as if it were sRGB |
| CMYK, CIE Lab, YCbCr without a profile | as Pillow converts them |
| EXIF orientation | turned |
| signed, floats, 32 bits, more than 4 bands | refused: no conversion to RGB is the obvious one |
"""

import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from maskquery.images import profiles

Deep = npt.NDArray[np.uint16]
Turn = Image.Transpose

MOST_BANDS = 4

ORIENTATION = 0x0112
"""EXIF's tag."""

_BITS, _PHOTOMETRIC, _BANDS, _SIGN, _DNG = 258, 262, 277, 339, 50706
_KIND, _WHITE_IS_ZERO = 254, 0  # NewSubfileType; a value of PhotometricInterpretation
_SIGNS = {1: "unsigned integers", 2: "signed integers", 3: "floats", 5: "complex integers",
          6: "complex numbers"}  # fmt: skip

_TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
"""The transposition of each of EXIF's orientations."""

_SWAPPING = (5, 6, 7, 8)
"""EXIF's orientations that swap height and width."""

_CONVERTED = {"deep": "16 bits, 1", "icc": "ICC, 1"}
"""Names of conversions in the keys of cells; raise a number if its results change."""


@dataclass(frozen=True)
class Samples:
    """The samples of a picture's file.

    Attributes:
        bands: how many samples a pixel has.
        bits: of a sample.
        sign: "unsigned integers", "signed integers", "floats" or others.
        white_is_zero: whether 0 is white.
    """

    bands: int
    bits: int
    sign: str
    white_is_zero: bool = False

    def __str__(self) -> str:
        plural = "s" if self.bands > 1 else ""
        return f"{self.bands} band{plural} of {self.bits}-bit {self.sign}"

    @property
    def have_rgb(self) -> bool:
        """Whether they can be converted to RGB."""
        return self.bands <= MOST_BANDS and self.bits <= 16 and self.sign == _SIGNS[1]


def samples_of(image: Image.Image) -> Samples:
    """The samples of an open image, by its header."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _tiff_samples(image.tag_v2)
    deep = image.format == "PNG" and ";16B" in str(getattr(image, "tile", ""))
    return Samples(len(image.getbands()), 16 if deep else 8, _SIGNS[1])


def _tiff_samples(tags: TiffImagePlugin.ImageFileDirectory_v2) -> Samples:
    bits, signs = tags.get(_BITS, (1,)), tags.get(_SIGN, (1,))
    sign = max(signs)
    return Samples(
        int(tags.get(_BANDS, 1)),
        int(max(bits)),
        _SIGNS.get(sign, f"samples of kind {sign}"),
        tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
    )


def tiff_samples(stream: BinaryIO) -> Samples | None:
    """The samples of a TIFF that Pillow does not open; None if it is not a TIFF, or is damaged.

    Args:
        stream: the file, at its beginning.
    """
    head = stream.read(8)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        if b"+" in head[:4]:  # BigTIFF
            head += stream.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        stream.seek(tags.next)
        tags.load(stream)
        return _tiff_samples(tags)
    except Exception:  # whatever a damaged file makes Pillow raise
        return None


def expect_rgb(image: Image.Image) -> None:
    """Refuse an image that cannot be converted to RGB, by its header.

    Raises:
        ValueError: describing its samples.
    """
    samples = samples_of(image)
    if not samples.have_rgb or image.mode in ("I", "F"):
        raise ValueError(refusal(samples))


def refusal(samples: Samples) -> str:
    """Why an image of such samples is refused, and how to save it instead."""
    if samples.have_rgb:
        kind = ", WhiteIsZero" if samples.white_is_zero else ""
        return f"it is a TIFF of a kind that is not read, {samples}{kind}; save it as PNG"
    return f"it has {samples}; save it with 1 to 4 bands of 8 or 16 bits, unsigned"


def expect_whole(image: Image.Image) -> None:
    """Refuse a TIFF whose first page is a small copy of the picture, as in cameras' raw files.

    Raises:
        ValueError: saying so.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if _DNG in image.tag_v2:
            raise ValueError("it is a camera's raw file (DNG)")
        if int(image.tag_v2.get(_KIND, 0)) & 1:
            raise ValueError("it is a camera's raw file, or its first page is a reduced copy")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, of an open image; no pixel is decoded."""
    if image.format == "PNG" and "exif" not in image.info and not _has_exif(image):
        return 1  # and Pillow need not decode the picture to look for it behind the pixels
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in _TURNS else 1


def _has_exif(png: Image.Image) -> bool:
    """Whether a PNG has EXIF data, before or behind its pixels."""
    stream: BinaryIO = png.fp  # type: ignore[attr-defined]
    place = stream.tell()
    try:
        stream.seek(8)
        while len(chunk := stream.read(8)) == 8 and chunk[4:] != b"IEND":
            if chunk[4:] == b"eXIf":
                return True
            stream.seek(int.from_bytes(chunk[:4], "big") + 4, os.SEEK_CUR)
        return False
    finally:
        stream.seek(place)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an open image after it is turned by its `orientation`."""
    width, height = image.size
    # Pillow's size of a TIFF is the one after turning it.
    swaps = image.format != "TIFF" and orientation(image) in _SWAPPING
    return (width, height) if swaps else (height, width)


def conversions(image: Image.Image) -> tuple[str, ...]:
    """The conversions from an image's samples to its pixels; () for 8 bits in sRGB.

    They are a part of the keys of cells.
    """
    kinds = []
    if samples_of(image).bits > 8:
        kinds.append(_CONVERTED["deep"])
    if profiles.conversion_of(image):
        kinds.append(_CONVERTED["icc"])
    return tuple(kinds)


def to_rgb(image: Image.Image, data: bytes) -> Image.Image:
    """Convert an image to RGB, turned by its EXIF orientation.

    Args:
        image: open, not yet decoded; see `expect_rgb`.
        data: the bytes of its file.

    Raises:
        ValueError: its 16 bits cannot be reduced to 8.
    """
    samples, base = samples_of(image), profiles.base_of(image.mode)
    convert = profiles.conversion_of(image)
    image.load()
    turn = _TURNS.get(image.getexif().get(ORIENTATION, 1))  # Pillow has turned a TIFF by now
    picture = _eight_bits(image, samples, data) if samples.bits > 8 else image
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    if convert:
        alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
        picture = convert(picture.convert(base))
        if alpha:
            picture.putalpha(alpha)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    rgb = picture.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def _eight_bits(image: Image.Image, samples: Samples, data: bytes) -> Image.Image:
    """Reduce a decoded image of 12 or 16 bits to 8 bits."""
    if image.mode.startswith("I;16"):
        grey = _scale(np.asarray(image).astype(np.uint16))
        return Image.fromarray(255 - grey if samples.white_is_zero else grey)
    if image.mode not in ("RGB", "RGBA"):
        return image
    upper = np.asarray(image)  # Pillow keeps the upper 8 bits
    colours = upper[..., :3]
    if int(colours.max(initial=0)) - int(colours.min(initial=255)) > _FEW:
        return image
    deep = _decode_deep(data, upper)
    picture = Image.fromarray(_scale(deep[..., :3]))
    if image.mode == "RGBA":
        picture.putalpha(image.getchannel("A"))
    return picture


_FEW = 64
"""Levels of 256; 14 bits in 16 have fewer in their upper 8 bits."""


def _scale(deep: Deep) -> npt.NDArray[np.uint8]:
    """Reduce 16 bits to 8, of any shape: the upper 8 of the bits that are used.

    All 16 bits are used if the highest value needs more than 14; otherwise as many as it needs
    (12 of a camera), and at least 8. If the values span less than a quarter of that range, the
    lowest becomes 0 and the highest 255, unless a step would be more than one level.
    """
    low, high = int(deep.min(initial=65535)), int(deep.max(initial=0))
    bits = max(8, high.bit_length())
    bits = 16 if bits > 14 else bits
    if high - low >= 2 ** (bits - 2) or bits == 8 or high == low:
        return (deep >> (bits - 8)).astype(np.uint8)
    span = max(255, high - low)
    return ((deep - low).astype(np.uint32) * 255 // span).astype(np.uint8)


def _decode_deep(data: bytes, upper: npt.NDArray[np.uint8]) -> Deep:
    """Decode RGB of 16 bits by OpenCV: (H, W, 3), compared with Pillow's upper 8 bits."""
    import cv2  # takes a while, and is not always needed

    try:
        deep: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        deep = None
    if deep is not None and deep.ndim == 3 and deep.dtype == np.uint16:
        colours: Deep = deep[..., [2, 1, 0]]
        if np.array_equal(colours >> 8, upper[..., :3]):
            return colours
    raise ValueError("it uses few of its 16 bits and cannot be scaled; save it with 8 bits")
