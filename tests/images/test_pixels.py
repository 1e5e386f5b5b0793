"""What the samples of a picture mean; each test is a row of the table in `images.pixels`."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.images import image_files
from tests.support import pictures
from tests.support.pictures import ADOBE, P3, SRGB, encoded, icc, tiff

GREY = np.random.default_rng(0).integers(0, 256, (12, 17)).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (12, 17, 3)).astype(np.uint8)
for samples in (GREY, COLOURS):
    samples[0, 0], samples[0, 1] = 0, 255  # all the range is used


def decode(data: bytes) -> Any:
    return image_files.decode(data, Path("a.png"), None)


def conversions(data: bytes) -> tuple[str, ...]:
    return image_files.read_header(data, Path("a.png"), 10**6).conversions


def png16(pixels: np.ndarray) -> bytes:
    channels = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return bytes(cv2.imencode(".png", channels)[1])


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 14, 16])
def test_of_16_bits_those_that_are_used_make_8(bits: int) -> None:
    deep = (GREY.astype(np.uint16) << (bits - 8)) + (1 << (bits - 8)) - 1
    deep[0, 0] = 0
    for data in (png16(deep), tiff(deep), tiff(deep, byte_order=">")):
        np.testing.assert_array_equal(decode(data)[..., 0], GREY)
        assert conversions(data) == ("16 bits, 1",)


@pytest.mark.parametrize("bits", [8, 11, 12, 14, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_so_do_16_bits_of_colours(bits: int, alpha: bool) -> None:
    deep = COLOURS.astype(np.uint16) << (bits - 8)
    if alpha:
        deep = np.dstack([deep, np.full(GREY.shape, 65535, np.uint16)])
    files = [png16(deep), tiff(deep, photometric=2, extra=(2,) if alpha else ())]
    for data in files:
        np.testing.assert_array_equal(decode(data), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_too(orientation: int) -> None:
    deep = COLOURS.astype(np.uint16) << 3
    exif = Image.Exif()
    exif[274] = orientation
    plain = decode(encoded(Image.fromarray(COLOURS), "TIFF", exif=exif))
    result = decode(tiff(deep, photometric=2, tag274=orientation))
    np.testing.assert_array_equal(result, plain)


def test_a_narrow_range_far_from_black_is_stretched() -> None:
    """A microscope's 20,000 to 24,000, of which the upper 8 bits keep 16 levels."""
    deep = np.linspace(20_000, 24_000, 204).astype(np.uint16).reshape(12, 17)
    levels = decode(tiff(deep))[..., 0]
    assert (levels.min(), levels.max()) == (0, 255)
    assert len(np.unique(levels)) > 190


def test_noise_is_not_stretched() -> None:
    deep = GREY % 5 + np.uint16(20_000)
    assert np.ptp(decode(tiff(deep))) == 4
    assert np.ptp(decode(tiff(np.full((3, 4), 20_000, np.uint16)))) == 0


def test_white_is_zero() -> None:
    """An X-ray is no negative, whatever its bits."""
    for shift in (0, 4, 8):
        deep = (255 - GREY).astype(np.uint16) << shift
        result = decode(tiff(deep, photometric=0))[..., 0]
        np.testing.assert_array_equal(result, GREY)
    np.testing.assert_array_equal(decode(tiff(255 - GREY, photometric=0))[..., 0], GREY)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(GREY.view(np.int8), sign=2), "1 band of 8-bit signed integers"),
        (tiff(GREY.astype(np.int16), sign=2), "1 band of 16-bit signed integers"),
        (tiff(GREY.astype(np.int32), sign=2), "1 band of 32-bit signed integers"),
        (tiff(GREY.astype(np.uint32)), "1 band of 32-bit unsigned integers"),
        (tiff(GREY.astype(np.float32), sign=3), "1 band of 32-bit floats"),
        (tiff(GREY.astype(np.float64), sign=3), "1 band of 64-bit floats"),
        (tiff(np.zeros((3, 4, 3), np.float32), photometric=2, sign=3), "3 bands of 32-bit floats"),
        (tiff(np.zeros((3, 4, 5), np.uint8), extra=(0,) * 4), "5 bands of 8-bit unsigned"),
        (tiff(np.zeros((3, 4, 6), np.uint8), photometric=2, extra=(0,) * 3), "6 bands of 8-bit"),
        (tiff(np.zeros((3, 4, 8), np.int16), sign=2, extra=(0,) * 7), "8 bands of 16-bit signed"),
        (tiff(np.zeros((3, 4, 2), np.uint16)), "of a kind that is not read, 2 bands of 16-bit"),
        (tiff(GREY.astype(np.uint16), photometric=0, byte_order=">"), "integers, WhiteIsZero"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_samples_are_refused_with_bands_and_type(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image") as error:
        decode(data)
    assert words in str(error.value)
    with pytest.raises(UserError, match="cannot be read as an image"):
        conversions(data)


@pytest.mark.parametrize(
    ("profile", "stored"),
    [(icc(P3), (183, 50, 41)), (icc(ADOBE, 2.19921875), (171, 35, 35))],
    ids=["Display P3", "Adobe RGB"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_colours_of_a_profile_become_srgb(
    profile: bytes, stored: tuple[int, int, int], kind: str
) -> None:
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.new("RGB", (8, 8), stored), kind, icc_profile=profile, **options)
    assert np.abs(decode(data).astype(int) - (200, 30, 30)).max() <= 2
    assert conversions(data) == ("ICC, 1",)


def test_a_profile_holds_for_palettes_and_beneath_alpha() -> None:
    red, profile = (183, 50, 41), icc(P3)
    indexed = Image.new("RGB", (4, 4), red).convert("P", palette=Image.Palette.ADAPTIVE)
    clear = Image.new("RGBA", (4, 4), (*red, 255))
    clear.putpixel((0, 0), (*red, 0))
    for image in (indexed, clear):
        result = decode(encoded(image, icc_profile=profile)).astype(int)
        assert np.abs(result[1:] - (200, 30, 30)).max() <= 2
    assert result[0, 0].tolist() == [255] * 3


def test_a_grey_profile() -> None:
    data = encoded(Image.fromarray(GREY), icc_profile=pictures.grey_icc(1.0))
    result = decode(data)[..., 0].astype(int)
    linear = GREY / 255
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(result - 255 * srgb).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [icc(SRGB), b"no profile", icc(P3)[:200], pictures.grey_icc(1.0), b""],
    ids=["sRGB", "text", "truncated", "of grey", "empty"],
)
def test_srgb_and_profiles_that_do_not_fit_change_no_byte(profile: bytes) -> None:
    data = encoded(Image.fromarray(COLOURS), icc_profile=profile)
    np.testing.assert_array_equal(decode(data), COLOURS)
    assert conversions(data) == ()


def test_ordinary_pictures_are_not_converted() -> None:
    """So that what was computed of them keeps its name."""
    image = Image.fromarray(COLOURS)
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        assert conversions(encoded(image.convert(mode))) == ()
    for kind in ("BMP", "JPEG", "TIFF", "WEBP"):
        assert conversions(encoded(image, kind)) == ()
    assert conversions(encoded(image.convert("CMYK"), "JPEG")) == ()


@pytest.mark.parametrize("late", [False, True])
def test_the_orientation_of_a_png_stands_anywhere(late: bool, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(Image.fromarray(COLOURS), exif=exif)
    if late:
        start = data.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        data = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    (tmp_path / "a.png").write_bytes(data)
    assert decode(data).shape == (17, 12, 3)
    assert image_files.size(tmp_path / "a.png") == (17, 12)
    assert image_files.read_header(data, Path("a.png"), 10**6).orientation == 6
