"""What a file is that is no picture of the formats that are read."""

import pytest

from maskquery.images import kinds

HEADS = {
    b"": "nothing but zero bytes",
    bytes(2000): "nothing but zero bytes",
    b"GIF89a": "a GIF",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "an HEIC",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "an HEIC",
    b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf": "an AVIF",
    b"\0\0\0\x14ftypmif1\0\0\0\0mif1": "an HEIF",
    b"\0\0\0\x14ftypisom\0\0\0\0mp41": "a video (MP4)",
    b"\0\0\0\x18ftypcrx \0\0\0\1crx isom": "a camera's raw file (CR3)",
    b"\xff\x0a\x00": "a JPEG XL",
    b"\0\0\0\x0cjP  \r\n": "a JPEG 2000",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "a Git LFS pointer",
    b"outs:\n- md5: 0123\n": "a .dvc file",
    b"<!DOCTYPE HTML><html>": "an HTML page",
    b"\xef\xbb\xbf \n<html lang='en'>": "an HTML page",
    b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>': "an XML document",
    b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">': "an SVG",
    b"%PDF-1.7": "a PDF",
    b"%!PS-Adobe-3.0": "PostScript",
    b"\0\0\1\0\1\0": "an icon (ICO)",
    b"P5 4 3 15\n": "a Netpbm picture",
    bytes(128) + b"DICM": "a DICOM file",
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b\x08": "compressed by gzip",
    b"dear diary": "text",
    "d\u00e9j\u00e0 vu".encode(): "text",
    b"x" * (kinds.HEAD - 1) + "\u00e9".encode()[:1]: "text",
    b"\x01\x02\x03": "",
    b"abc\xff": "",
}


@pytest.mark.parametrize(("head", "expected"), HEADS.items(), ids=HEADS.values())
def test_the_first_bytes_say_it(head: bytes, expected: str) -> None:
    name = kinds.name_of(head)
    assert name.startswith(expected)
    assert bool(name) == bool(expected)
