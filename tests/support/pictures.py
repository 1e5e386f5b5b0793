"""Files of pictures that Pillow does not write: TIFFs of any samples, ICC profiles."""

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

P3 = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
"""Display P3's primaries, columns of XYZ under D50."""

ADOBE = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(
    samples: npt.NDArray[Any],
    *,
    photometric: int = 1,
    sign: int = 1,
    extra: tuple[int, ...] = (),
    byte_order: str = "<",
    **more: int,
) -> bytes:
    """An uncompressed TIFF.

    Args:
        samples: (H, W) or (H, W, bands), of the file's own dtype.
        photometric: 0 WhiteIsZero, 1 BlackIsZero, 2 RGB.
        sign: SampleFormat: 1 unsigned, 2 signed, 3 floats.
        extra: ExtraSamples.
        byte_order: "<" or ">".
        more: values of other tags, by "tag" and number, "tag274", say.
    """
    height, width, bands = (*samples.shape, 1)[:3]
    data = samples.astype(samples.dtype.newbyteorder(byte_order)).tobytes()
    bits = samples.dtype.itemsize * 8
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [bits] * bands,
        259: [1],
        262: [photometric],
        273: [0],
        277: [bands],
        278: [height],
        279: [len(data)],
        339: [sign] * bands,
        **{int(name.removeprefix("tag")): [value] for name, value in more.items()},
        **({338: list(extra)} if extra else {}),
    }
    start = 8 + 2 + 12 * len(tags) + 4
    behind = sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [start + behind]
    directory, blob = struct.pack(f"{byte_order}H", len(tags)), b""
    for tag, values in sorted(tags.items()):
        field = packed = struct.pack(f"{byte_order}{len(values)}I", *values)
        if len(values) > 1:
            field = struct.pack(f"{byte_order}I", start + len(blob))
            blob += packed
        directory += struct.pack(f"{byte_order}HHI", tag, 4, len(values)) + field
    mark = b"II*\0" if byte_order == "<" else b"MM\0*"
    return mark + struct.pack(f"{byte_order}I", 8) + directory + bytes(4) + blob + data


def icc(columns: tuple[tuple[float, ...], ...], gamma: float | None = None) -> bytes:
    """A profile of three primaries; gamma None is sRGB's curve."""
    xyz = {
        name: b"XYZ \0\0\0\0" + b"".join(_fixed(row[index]) for row in columns)
        for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _profile(b"RGB ", xyz | curves)


def grey_icc(gamma: float) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _curve(gamma: float | None) -> bytes:
    steps = np.linspace(0, 1, 1024)
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    values = np.round(65535 * (linear if gamma is None else steps**gamma)).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"a\0" + bytes(78),
        b"cprt": b"text\0\0\0\0a\0\0\0",
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(_fixed, (0.9642, 1.0, 0.8249))),
        **tags,
    }
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(data))
        body += padded
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + body
