"""Label maps of every kind: each label comes back as it was written, or the file is refused."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.evaluation import label_maps
from maskquery.evaluation.label_maps import Labels, read_labels
from tests.support.pictures import P3 as OTHER_COLOURS
from tests.support.pictures import encoded, icc, tiff

PERSON, VOID = (192, 128, 128), (224, 224, 192)
PALETTE = {0: (0, 0, 0), 15: PERSON, 5: (128, 0, 128)}
LABELS = np.kron(np.array([[0, 15, 0], [5, 15, 5]]), np.ones((24, 24), int)).astype(np.uint8)

Read = Callable[..., Labels]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def from_bytes(
        data: bytes, name: str = "a.png", palette: label_maps.Palette | None = None
    ) -> Labels:
        (tmp_path / name).write_bytes(data)
        return read_labels(tmp_path / name, palette or {})

    return from_bytes


def painted(labels: np.ndarray) -> Image.Image:
    """In the colours of VOC, 255 is void."""
    colours = np.zeros((256, 3), np.uint8)
    for label, colour in {**PALETTE, 255: VOID}.items():
        colours[label] = colour
    return Image.fromarray(colours[labels])


GREY = Image.fromarray(LABELS)
WITH_VOID = LABELS.copy()
WITH_VOID[10:30, 20:52] = 255


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


EXACT = {
    "PNG": encoded(GREY),
    "PNG of 16 bits": encoded(Image.fromarray(LABELS.astype(np.uint16))),
    "TIFF": encoded(GREY, "TIFF", compression="tiff_lzw"),
    "TIFF of 16 bits": tiff(LABELS.astype(np.uint16)),
    "TIFF of 16 bits, big-endian": tiff(LABELS.astype(np.uint16), byte_order=">"),
    "TIFF of signed 16 bits": tiff(LABELS.astype(np.int16), sign=2),
    "TIFF of signed 32 bits": tiff(LABELS.astype(np.int32), sign=2),
    "BMP": encoded(GREY, "BMP"),
    "PNG with an ICC profile": encoded(GREY, icc_profile=icc(OTHER_COLOURS)),
}


@pytest.mark.parametrize("data", EXACT.values(), ids=EXACT.keys())
def test_pictures_without_loss(read: Read, data: bytes) -> None:
    np.testing.assert_array_equal(read(data), LABELS)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "i8", "u8", "f2", "f4", "f8"])
def test_arrays(read: Read, dtype: str, order: str) -> None:
    labels = np.asarray(LABELS > 0 if dtype == "?" else LABELS, dtype=dtype, order=order)
    found = read(npy(labels), "a.npy")
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, labels)


def test_labels_below_zero_and_above_all_signed_ones(read: Read) -> None:
    labels = LABELS.astype(np.int32) - 1
    np.testing.assert_array_equal(read(npy(labels), "a.npy"), labels)
    np.testing.assert_array_equal(read(tiff(labels, sign=2)), labels)
    huge = LABELS.astype(np.uint32) + 2**31
    np.testing.assert_array_equal(read(tiff(huge)), huge)


def pgm(labels: np.ndarray, most: int) -> bytes:
    height, width = labels.shape
    return f"P5 {width} {height} {most}\n".encode() + labels.tobytes()


REFUSED = {
    "PGM with maxval 15": (pgm(LABELS, 15), "it is a Netpbm picture"),
    "JPEG": (encoded(GREY, "JPEG"), "is a grey JPEG, which changes labels"),
    "MPO": (encoded(GREY, "MPO", save_all=True, append_images=[GREY]), "is a grey JPEG"),
    "JPEG in TIFF": (encoded(GREY, "TIFF", compression="jpeg"), "is a grey JPEG in TIFF"),
    "JPEG 2000": (encoded(GREY, "JPEG2000"), "it is a JPEG 2000"),
    "AVIF": (encoded(GREY, "AVIF"), "it is an AVIF"),
    "white is zero": (tiff(LABELS, photometric=0), "has 0 for white"),
    "signed bytes": (tiff(LABELS.view(np.int8), sign=2), "1 band of 8-bit signed integers"),
    "floats": (tiff(LABELS.astype(np.float32), sign=3), "1 band of 32-bit floats"),
    "grey as RGB": (encoded(Image.merge("RGB", [GREY] * 3)), "three channels, all the same"),
    "grey with alpha": (encoded(GREY.convert("LA")), "is grey with alpha"),
    "several pages": (encoded(GREY, "TIFF", save_all=True, append_images=[GREY]), "has 2 pages"),
    "archive of arrays": (b"PK\3\4", "it is a zip archive (or .npz)"),
    "array": (npy(LABELS), "it is a NumPy array: call it .npy"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_hold_labels_as_they_were(read: Read, data: bytes, says: str) -> None:
    with pytest.raises(UserError, match=r"a\.png") as error:
        read(data)
    assert says in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_colours_that_are_all_listed(read: Read, kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(painted(LABELS), kind, **options)
    np.testing.assert_array_equal(read(data, palette=PALETTE), LABELS)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_blurred_edges_of_a_jpeg_get_the_nearest_label(read: Read, quality: int) -> None:
    data = encoded(painted(LABELS), "JPEG", quality=quality)
    assert (read(data, "a.jpg", PALETTE) == LABELS).mean() > 0.97


def test_a_colour_that_is_not_listed_is_no_label(read: Read) -> None:
    """VOC's void became a person."""
    count = int((WITH_VOID == 255).sum())
    with pytest.raises(
        UserError, match=rf"{count} pixels have the colour \[224, 224, 192\]"
    ) as error:
        read(encoded(painted(WITH_VOID)), palette=PALETTE)
    assert "the nearest is label 15, [192, 128, 128]" in str(error.value)
    found = read(encoded(painted(WITH_VOID)), palette={**PALETTE, 255: VOID})
    np.testing.assert_array_equal(found, WITH_VOID)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_nor_is_it_in_a_jpeg(read: Read, quality: int) -> None:
    data = encoded(painted(WITH_VOID), "JPEG", quality=quality)
    with pytest.raises(UserError, match=r"which ground_truth\.palette does not list"):
        read(data, "a.jpg", PALETTE)
    assert (read(data, "a.jpg", {**PALETTE, 255: VOID}) == WITH_VOID).mean() > 0.95


def test_colours_that_hold_no_labels(read: Read) -> None:
    image = painted(LABELS)
    clear = image.convert("RGBA")
    np.testing.assert_array_equal(read(encoded(clear), palette=PALETTE), LABELS)
    clear.putpixel((0, 0), (0, 0, 0, 0))
    deep = np.asarray(image).astype(np.uint16) * 257
    for data, says in [
        (encoded(clear), "transparent pixels"),
        (encoded(image, "WEBP", quality=80), "is a lossy WebP"),
        (tiff(deep, photometric=2), "3 bands of 16-bit unsigned integers: labels are"),
    ]:
        with pytest.raises(UserError, match=says):
            read(data, palette=PALETTE)


def test_of_two_labels_of_one_colour_the_lowest(read: Read) -> None:
    palette = {**PALETTE, 3: PERSON, 99: PERSON}
    expected = np.where(LABELS == 15, 3, LABELS)
    np.testing.assert_array_equal(read(encoded(painted(LABELS)), palette=palette), expected)


@given(
    hnp.arrays(np.uint8, (3, 4, 3)),
    st.dictionaries(st.integers(-5, 300), st.tuples(*[st.integers(0, 255)] * 3), min_size=1),
)
def test_the_nearest_colour_is_nearest(colours: np.ndarray, palette: label_maps.Palette) -> None:
    found, squared = label_maps.nearest(colours, palette)
    for y, x in np.ndindex(3, 4):
        distance = {
            label: sum((int(a) - b) ** 2 for a, b in zip(colours[y, x], colour, strict=True))
            for label, colour in palette.items()
        }
        lowest = min(distance.values())
        assert squared[y, x] == lowest
        assert found[y, x] == min(label for label in palette if distance[label] == lowest)
