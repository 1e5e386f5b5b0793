"""Which image formats are read, and how to name any other file by its first bytes."""

from collections.abc import Mapping

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""The only formats that Pillow may open. Others run programs or contain further images.

An MPO, which some cameras write, is a JPEG followed by more images.
"""

READ = "read are BMP, JPEG, PNG, TIFF and WebP"

HEAD = 1024
"""How many of a file's first bytes `name_of` reads."""

_MARKS = (
    (0, b"GIF8", "a GIF"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file (PSD)"),
    (0, b"gimp xcf", "a GIMP file (XCF)"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\xff\xd8", "a damaged JPEG"),
    (0, b"\x89PNG", "a damaged PNG"),
    (0, b"BM", "a damaged BMP, or one of a kind that is not read"),
    (8, b"WEBP", "a damaged WebP"),
    (128, b"DICM", "a DICOM file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, and not the file: run `git lfs pull`"),
    (0, b"outs:\n- md5:", "a .dvc file, and not what it names: run `dvc pull`"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (0, b"PK\3\4", "a zip archive (or .npz)"),
    (0, b"\x93NUMPY", "a NumPy array: call it .npy"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"v/1\1", "an OpenEXR file"),
    (0, b"#?R", "a Radiance HDR file"),
    (0, b"FUJIFILM", "a camera's raw file"),
    (4, b"ftypcrx ", "a camera's raw file (CR3)"),
    (0, b"<svg", "an SVG"),
)

_BRANDS: Mapping[bytes, str] = {
    b"avif": "an AVIF",
    b"avis": "an AVIF",
    b"heic": "an HEIC",
    b"heix": "an HEIC",
    b"hevc": "an HEIC",
    b"hevx": "an HEIC",
    b"heim": "an HEIC",
    b"heis": "an HEIC",
    b"mif1": "an HEIF",
    b"msf1": "an HEIF",
}

_TEXTS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG"),
    (b"%!ps", "PostScript"),
)


def name_of(head: bytes) -> str:
    """Name a file that is no image of `FORMATS`, such as "a GIF"; "" if it is not known.

    >>> name_of(b"GIF89a" + bytes(100)), name_of(b"<html>404</html>")
    ('a GIF', 'an HTML page')

    Args:
        head: the file's first `HEAD` bytes, or all of them.
    """
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    for place, mark, name in _MARKS:
        if head.startswith(mark, place):
            return name
    if head[4:8] == b"ftyp":
        return _brand(head)
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF"):
        return "a Netpbm picture (PBM, PGM, PPM, PAM, PFM)"
    return _text(head)


def _brand(head: bytes) -> str:
    """The first known brand of a file of the ISO base media format."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, end, 4))]
    names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    exact = [name for name in names if name != "an HEIF"]  # AVIF is an HEIF, too
    return next(iter(exact or names), "a video (MP4)")


def _text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, name in _TEXTS:
        if text.startswith(mark):
            return name
    if text.startswith(b"<?xml"):
        return "an SVG" if b"<svg" in text else "an XML document"
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    if printable < len(head):
        return ""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The last character may go on behind the head.
        return "text" if error.start >= len(head) - 3 and len(head) >= HEAD else ""
    return "text"
