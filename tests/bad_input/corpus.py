"""Folders of images that are not as they should be, and what becomes of each.

Every case is generated, and has one of these outcomes:

* processed: it has masks like any other image;
* failed: it is left out and recorded with its reason; the others are processed;
* ignored: it is no image, and is not mentioned;
* refused: the stage ends at once, before anything is computed.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.pictures import P3, icc, tiff

Outcome = Literal["processed", "failed", "ignored", "refused"]

MAX_PIXELS = 1_000_000
PIXELS: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)


@dataclass(frozen=True)
class Case:
    """One thing that may stand in a folder of images.

    Attributes:
        make: puts it into the folder.
        outcome: see above.
        says: what the error says, if there is one.
        image: the id of the image that the case is about.
        size: height and width, if it is processed.
    """

    make: Callable[[Path], object]
    outcome: Outcome
    says: str = ""
    image: str = "case"
    size: tuple[int, int] = (20, 31)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def as_file(name: str, data: bytes) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return make


def of_mode(mode: str) -> Image.Image:
    return Image.fromarray(PIXELS).convert(mode)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes whose header promises any number of pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def png_with_a_long_text() -> bytes:
    """64 MB of text in 64 kB."""
    whole = encoded("PNG")
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(64 * 2**20)))
    return whole[:33] + text + whole[33:]


def bmp_that_claims(width: int, height: int) -> bytes:
    whole = bytearray(encoded("BMP"))
    whole[18:26] = struct.pack("<ii", width, height)
    return bytes(whole)


def linked(name: str, target: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).symlink_to(target)


def linked_outside(folder: Path) -> None:
    outside = folder.parent / "outside.png"
    outside.write_bytes(encoded("PNG"))
    (folder / "case.png").symlink_to(outside)


def folder_linked_outside(folder: Path) -> None:
    outside = folder.parent / "elsewhere"
    outside.mkdir()
    as_file("case.png", encoded("PNG"))(outside)
    (folder / "more").symlink_to(outside)


def not_utf8(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - no text
        file.write(encoded("PNG"))


def both(*makers: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        for maker in makers:
            maker(folder)

    return make


PNG, JPEG = encoded("PNG"), encoded("JPEG")
FRAMES = [Image.fromarray(PIXELS[..., channel]) for channel in range(3)]
WIDE = Image.fromarray(np.tile(PIXELS[:3, :20], (1, 3275, 1)))

CASES: dict[str, Case] = {
    "truncated JPEG": Case(as_file("case.jpg", JPEG[:-100]), "failed", "truncated"),
    "truncated PNG": Case(as_file("case.png", PNG[: len(PNG) // 2]), "failed", "truncated"),
    "no byte at all": Case(as_file("case.png", b""), "failed", "it is empty"),
    "text with an image's suffix": Case(
        as_file("case.jpg", b"dear diary"), "failed", "it is text; read are BMP, JPEG, PNG"
    ),
    "bytes of no known kind": Case(
        as_file("case.jpg", b"\1\2\3" * 99), "failed", "not an image of a known format"
    ),
    "nothing but zero bytes": Case(
        as_file("case.jpg", bytes(9999)), "failed", "it is nothing but zero bytes"
    ),
    "HEIC with the suffix of a JPEG": Case(
        as_file("case.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), "failed", "it is an HEIC"
    ),
    "AVIF with the suffix of a PNG": Case(
        as_file("case.png", encoded("AVIF")), "failed", "it is an AVIF"
    ),
    "JPEG 2000 with the suffix of a PNG": Case(
        as_file("case.png", encoded("JPEG2000")), "failed", "it is a JPEG 2000"
    ),
    "JPEG XL with the suffix of a PNG": Case(
        as_file("case.png", b"\xff\x0a\x00"), "failed", "it is a JPEG XL"
    ),
    "PostScript with the suffix of a PNG": Case(
        as_file("case.png", encoded("EPS")), "failed", "it is PostScript"
    ),
    "icon with the suffix of a PNG": Case(
        as_file("case.png", encoded("ICO")), "failed", "it is an icon (ICO)"
    ),
    "PGM with the suffix of a PNG": Case(
        as_file("case.png", encoded("PPM", of_mode("L"))), "failed", "it is a Netpbm picture"
    ),
    "SVG with the suffix of a PNG": Case(
        as_file("case.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "failed", "it is an SVG"
    ),
    "PDF with the suffix of a JPEG": Case(
        as_file("case.jpg", encoded("PDF")), "failed", "it is a PDF"
    ),
    "DICOM with the suffix of a JPEG": Case(
        as_file("case.jpg", bytes(128) + b"DICM"), "failed", "it is a DICOM file"
    ),
    "HTML page with the suffix of a JPEG": Case(
        as_file("case.jpg", b"<!DOCTYPE html><html>404"), "failed", "it is an HTML page"
    ),
    "Git LFS pointer": Case(
        as_file("case.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "failed",
        "run `git lfs pull`",
    ),
    "PNG with the suffix of a JPEG": Case(as_file("case.jpg", PNG), "processed"),
    "suffix in capitals": Case(as_file("case.PNG", PNG), "processed"),
    "file that is no image": Case(as_file("case.txt", b"dear diary"), "ignored"),
    "hidden file": Case(as_file(".case.png", PNG), "ignored"),
    "image in a hidden folder": Case(as_file(".folder/case.png", PNG), "ignored"),
    "65,500 pixels wide": Case(
        as_file("case.png", encoded("PNG", WIDE)), "processed", size=(3, 65_500)
    ),
    "1 x 1 pixel": Case(
        as_file("case.png", encoded("PNG", Image.fromarray(PIXELS[:1, :1]))),
        "processed",
        size=(1, 1),
    ),
    "PNG that claims 60,000 x 60,000 pixels": Case(
        as_file("case.png", png_that_claims(60_000, 60_000)), "failed", "more than max_pixels"
    ),
    "BMP that claims 60,000 x 60,000 pixels": Case(
        as_file("case.bmp", bmp_that_claims(60_000, 60_000)), "failed", "more than max_pixels"
    ),
    "more pixels than max_pixels": Case(
        as_file("case.png", encoded("PNG", Image.new("1", (1001, 1000)))),
        "failed",
        "has 1001 x 1000 pixels, more than max_pixels (1000000)",
    ),
    "PNG that claims more pixels than it has": Case(
        as_file("case.png", png_that_claims(900, 900)), "failed", "truncated"
    ),
    "PNG with 64 MB of compressed text": Case(
        as_file("case.png", png_with_a_long_text()), "failed", "Decompressed data too large"
    ),
    "CMYK": Case(as_file("case.jpg", encoded("JPEG", of_mode("CMYK"))), "processed"),
    "palette": Case(as_file("case.png", encoded("PNG", of_mode("P"))), "processed"),
    "grey": Case(as_file("case.png", encoded("PNG", of_mode("L"))), "processed"),
    "1 bit": Case(as_file("case.png", encoded("PNG", of_mode("1"))), "processed"),
    "16 bits, grey": Case(
        as_file("case.png", encoded("PNG", Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 8))),
        "processed",
    ),
    "16 bits, grey, of which 12 are used": Case(
        as_file("case.png", encoded("PNG", Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 4))),
        "processed",
    ),
    "16 bits, RGB, of which 11 are used": Case(
        as_file("case.tif", tiff(PIXELS.astype(np.uint16) << 3, photometric=2)), "processed"
    ),
    "16 bits, 0 is white": Case(
        as_file("case.tif", tiff(PIXELS[..., 0].astype(np.uint16) << 8, photometric=0)), "processed"
    ),
    "32 bits": Case(
        as_file("case.tif", encoded("TIFF", Image.fromarray(PIXELS[..., 0].astype(np.float32)))),
        "failed",
        "it has 1 band of 32-bit floats; save it with 1 to 4 bands of 8 or 16 bits, unsigned",
    ),
    "signed bytes": Case(
        as_file("case.tif", tiff(PIXELS[..., 0].view(np.int8), sign=2)),
        "failed",
        "1 band of 8-bit signed integers",
    ),
    "signed 16 bits": Case(
        as_file("case.tif", tiff(PIXELS[..., 0].astype(np.int16), sign=2)),
        "failed",
        "1 band of 16-bit signed integers",
    ),
    "five bands": Case(
        as_file("case.tif", tiff(np.zeros((20, 31, 5), np.uint8), extra=(0,) * 4)),
        "failed",
        "5 bands of 8-bit unsigned integers",
    ),
    "ICC profile": Case(as_file("case.jpg", encoded("JPEG", icc_profile=icc(P3))), "processed"),
    "ICC profile that is damaged": Case(
        as_file("case.jpg", encoded("JPEG", icc_profile=icc(P3)[:150])), "processed"
    ),
    "TIFF whose tiles are larger than itself": Case(
        as_file("case.tif", tiff(PIXELS[..., 0], tag322=60_000, tag323=60_000)),
        "failed",
        "its tiles have 60000 x 60000 pixels",
    ),
    "raw file with the suffix of a TIFF": Case(
        as_file("case.tif", tiff(PIXELS[..., 0], tag254=1)), "failed", "a camera's raw file"
    ),
    "alpha": Case(as_file("case.png", encoded("PNG", of_mode("RGBA"))), "processed"),
    "grey with alpha": Case(as_file("case.png", encoded("PNG", of_mode("LA"))), "processed"),
    "palette with a transparent colour": Case(
        as_file("case.png", encoded("PNG", of_mode("P"), transparency=0)), "processed"
    ),
    **{
        f"EXIF orientation {orientation}": Case(
            as_file("case.jpg", encoded("JPEG", exif=turned(orientation))),
            "processed",
            size=(31, 20) if orientation > 4 else (20, 31),
        )
        for orientation in range(1, 9)
    },
    "EXIF orientation that does not exist": Case(
        as_file("case.jpg", encoded("JPEG", exif=turned(9))), "processed"
    ),
    "animated GIF": Case(
        as_file("case.gif", encoded("GIF", FRAMES[0], save_all=True, append_images=FRAMES[1:])),
        "ignored",
    ),
    "animated GIF with the suffix of a PNG": Case(
        as_file("case.png", encoded("GIF", FRAMES[0], save_all=True, append_images=FRAMES[1:])),
        "failed",
        "it is a GIF",
    ),
    "MPO with the suffix of a JPEG": Case(
        as_file("case.jpg", encoded("MPO", save_all=True, append_images=[of_mode("L")])),
        "processed",
    ),
    "suffixes of other kinds": Case(
        both(*(as_file(f"case{suffix}", JPEG) for suffix in (".jfif", ".mpo", ".hif", ".ppm"))),
        "ignored",
    ),
    "TIFF of several pages": Case(
        as_file("case.tif", encoded("TIFF", FRAMES[0], save_all=True, append_images=FRAMES[1:])),
        "processed",
    ),
    "spaces in the name": Case(as_file(" a  case .png", PNG), "processed", image=" a  case "),
    "unicode in the name": Case(as_file("部屋 ü 🪑.png", PNG), "processed", image="部屋 ü 🪑"),
    "new line in the name": Case(as_file("a\ncase.png", PNG), "processed", image="a\ncase"),
    "leading dashes in the name": Case(as_file("--case.png", PNG), "processed", image="--case"),
    "name of a shell command": Case(
        as_file("$(touch x);`y`.png", PNG), "processed", image="$(touch x);`y`"
    ),
    "dots and percent signs in the name": Case(
        as_file("a%2F..%00.b.png", PNG), "processed", image="a%2F..%00.b"
    ),
    "name of 250 bytes": Case(as_file("n" * 246 + ".png", PNG), "processed", image="n" * 246),
    "names that differ in case only": Case(
        both(as_file("case.png", PNG), as_file("Case.png", PNG)), "processed", image="Case"
    ),
    "names that differ in unicode normalisation only": Case(
        both(as_file("caf\u00e9.png", PNG), as_file("cafe\u0301.png", PNG)),
        "processed",
        image="cafe\u0301",
    ),
    "name that is not valid UTF-8": Case(not_utf8, "refused", "the name is not valid UTF-8"),
    "two files of one stem": Case(
        both(as_file("case.png", PNG), as_file("case.jpg", JPEG)), "refused", "rename one"
    ),
    "link to an image outside the folder": Case(linked_outside, "processed"),
    "link to nothing": Case(linked("case.png", "nowhere.png"), "refused", "is not a file"),
    "link to itself": Case(linked("case.png", "case.png"), "refused", "is not a file"),
    "link to a folder outside": Case(folder_linked_outside, "refused", "is a link to a folder"),
    "link to its own folder": Case(linked("loop", "."), "refused", "is a link to a folder"),
    "pipe": Case(
        lambda folder: os.mkfifo(folder / "case.png"), "refused", "is not a file, but a pipe"
    ),
    "pipe with another suffix": Case(
        lambda folder: os.mkfifo(folder / "case.txt"), "refused", "is not a file, but a pipe"
    ),
    "link to a device": Case(
        linked("case.png", "/dev/zero"), "refused", "is not a file, but a device"
    ),
    "escape codes in the name": Case(
        as_file("\x1b[31mcase.png", PNG), "processed", image="\x1b[31mcase"
    ),
    "folder with an image's suffix": Case(
        as_file("case.png/case.png", PNG), "processed", image="case.png/case"
    ),
}
