import re
import struct
import zlib
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth
from maskquery.masks.packed import unpack

LABELS = np.array([[0, 6, 6], [7, 255, 0]])
PALETTE = {0: (0, 0, 0), 6: (200, 30, 30), 7: (30, 30, 200)}


def test_images_meet_their_label_maps_by_stem(tmp_path: Path) -> None:
    for name in ("gt_a.npy", "gt_b.npy", "scan/gt_a.npy", "unused.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert ground_truth.pair(["b", "scan/a", "a"], tmp_path, "gt_{image}.npy") == {
        "b": tmp_path / "gt_b.npy",
        "scan/a": tmp_path / "scan/gt_a.npy",
        "a": tmp_path / "gt_a.npy",
    }


def test_braces_and_percent_signs_in_an_id_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "{image}%s{0}.npy").touch()
    assert ground_truth.pair(["{image}%s{0}"], tmp_path, "{image}.npy") == {
        "{image}%s{0}": tmp_path / "{image}%s{0}.npy"
    }


def test_an_empty_or_missing_folder_means_no_ground_truth(tmp_path: Path) -> None:
    assert ground_truth.pair(["a"], tmp_path / "nowhere", "{image}.npy") == {}
    (tmp_path / ".gitkeep").touch()
    assert ground_truth.pair(["a"], tmp_path, "{image}.npy") == {}


def test_one_missing_label_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    with pytest.raises(UserError, match=r"image 'b' has no ground truth: .*b\.npy is missing"):
        ground_truth.pair(["a", "b"], tmp_path, "{image}.npy")


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u4", "i8", "f4", "f8"])
def test_npy_of_whole_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", LABELS.astype(dtype))
    found = ground_truth.read_labels(tmp_path / "a.npy", {})
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, LABELS)


def test_npy_of_truth_values(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS == 6)
    found = ground_truth.read_labels(tmp_path / "a.npy", {})
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, LABELS == 6)


BAD_ARRAYS = {
    "fractions": (np.array([[0.5]]), "not whole"),
    "nan": (np.array([[np.nan]]), "not whole"),
    "huge": (np.array([[1e30]]), "not whole"),
    "complex": (np.array([[1j]]), "complex128"),
    "text": (np.array([["chair"]]), "<U5"),
    "objects": (np.array([[{}]]), "allow_pickle"),
    "one dimension": (np.arange(3), r"the shape \(3,\)"),
    "colours": (np.zeros((2, 3, 3), np.uint8), r"the shape \(2, 3, 3\)"),
}


@pytest.mark.parametrize(("array", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_npy_of_anything_else_is_refused(tmp_path: Path, array: object, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"a\.npy .*{message}"):
        ground_truth.read_labels(tmp_path / "a.npy", {})


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a.jpg"])
@pytest.mark.parametrize("data", [b"", b"not a picture"])
def test_files_that_are_not_what_they_are_called_are_refused(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"{name} cannot be read"):
        ground_truth.read_labels(tmp_path / name, PALETTE)


@pytest.mark.parametrize("palette", [{}, PALETTE], ids=["no palette", "palette"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_of_one_channel(tmp_path: Path, dtype: type, palette: ground_truth.Palette) -> None:
    labels = LABELS * (200 if dtype is np.uint16 else 1)
    Image.fromarray(labels.astype(dtype)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(ground_truth.read_labels(tmp_path / "a.png", palette), labels)


def indexed(path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, *PALETTE[6], *PALETTE[7]])
    image.save(path)


def test_png_of_indexed_colours_without_a_palette_gives_the_indices(tmp_path: Path) -> None:
    indexed(tmp_path / "a.png")
    np.testing.assert_array_equal(ground_truth.read_labels(tmp_path / "a.png", {}), [[0, 1, 2]])


def test_png_of_indexed_colours_with_a_palette_gives_the_labels(tmp_path: Path) -> None:
    indexed(tmp_path / "a.png")
    found = ground_truth.read_labels(tmp_path / "a.png", PALETTE)
    np.testing.assert_array_equal(found, [[0, 6, 7]])


def test_a_colour_jpeg_survives_its_compression(tmp_path: Path) -> None:
    labels = np.kron(np.array([[0, 6], [7, 6]]), np.ones((16, 16), int))
    colours = np.array([PALETTE.get(i, (0, 0, 0)) for i in range(8)], np.uint8)[labels]
    Image.fromarray(colours).save(tmp_path / "a.jpg", quality=75)
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "a.jpg")), colours)
    found = ground_truth.read_labels(tmp_path / "a.jpg", PALETTE)
    np.testing.assert_array_equal(found, labels)


def test_colours_without_a_palette_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is in colour: .*ground_truth\.palette"):
        ground_truth.read_labels(tmp_path / "a.png", {})


def test_a_grey_jpeg_is_refused(tmp_path: Path) -> None:
    Image.new("L", (3, 2)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg is a grey JPEG"):
        ground_truth.read_labels(tmp_path / "a.jpg", {})


def test_a_size_that_differs_is_told_with_both_sizes() -> None:
    ground_truth.expect_shape((2, 3), 2, 3, Path("a.npy"), "a")
    with pytest.raises(UserError, match=re.escape("a.npy is 3 x 2 pixels and image 'a' 2 x 4")):
        ground_truth.expect_shape((2, 3), 4, 2, Path("a.npy"), "a")
    with pytest.raises(UserError, match="the image's size; images are turned as their EXIF orient"):
        ground_truth.expect_shape((2, 3), 3, 2, Path("a.npy"), "a")


def test_a_class_may_have_several_labels() -> None:
    found = ground_truth.class_mask(LABELS, [6, 255])
    assert found.dtype == bool
    np.testing.assert_array_equal(found, [[0, 1, 1], [0, 1, 0]])


def test_planes_stand_in_the_order_of_the_classes() -> None:
    planes = ground_truth.class_planes(LABELS, ["b", "a"], {"a": [6], "b": [7]})
    np.testing.assert_array_equal(
        unpack(planes, 3), [[[0, 0, 0], [1, 0, 0]], [[0, 1, 1], [0, 0, 0]]]
    )


def test_classes_and_labels_must_be_of_the_same_names() -> None:
    ground_truth.expect_classes(["a", "b"], {"b": [1], "a": [2]})
    with pytest.raises(UserError, match=r"ground_truth\.labels\.b is missing"):
        ground_truth.expect_classes(["a", "b"], {"a": [2]})
    with pytest.raises(UserError, match=r"ground_truth\.labels\.b is no class \(they are a\)"):
        ground_truth.expect_classes(["a"], {"b": [1], "a": [2]})


SECTION = """\
ground_truth:
  folder: data/gt
  pattern: "{image}.npy"
  palette: {}
  ignore: []
  labels:
    chair: [6]
"""


class Params(params.Section):
    ground_truth: ground_truth.GroundTruth


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{image}.npy",
            "a.npy",
            "ground_truth.pattern is 'a.npy'; it must be a file name with one",
        ),
        ("{image}.npy", "x/{image}.npy", "must be a file name with one {image}"),
        ("{image}.npy", "{image}{image}", "must be a file name with one {image}"),
        ("[6]", "[]", "ground_truth.labels.chair is []; "),
        ("[6]", "[a]", "ground_truth.labels.chair[0] is 'a'; it must be a whole number"),
        ("palette: {}", "palette: {1: [0, 0, 256]}", "ground_truth.palette[1][2] is 256"),
    ],
)
def test_the_section_refuses_what_cannot_be(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SECTION)
    assert params.load(Params, path).ground_truth.labels == {"chair": (6,)}
    path.write_text(SECTION.replace(old, new))
    with pytest.raises(UserError, match=re.escape(message)):
        params.load(Params, path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_png_of_few_bits_gives_the_labels_that_were_written(
    tmp_path: Path, bits: int
) -> None:
    labels = np.arange(2 * 8).reshape(2, 8) % 2**bits

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data))

    shifts = np.arange(bits - 1, -1, -1)
    rows = np.packbits((labels[..., None] >> shifts & 1).reshape(2, -1), axis=1)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(ground_truth.read_labels(tmp_path / "a.png", {}), labels)


def test_a_picture_of_another_size_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
    section = {"folder": str(tmp_path), "pattern": "{image}.png", "palette": {}, "ignore": ()}
    truth = ground_truth.GroundTruth.model_validate(section | {"labels": {"chair": (6,)}})
    assert ground_truth.labels_of(tmp_path / "a.png", truth, "a", 3, 4).shape == (3, 4)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"a\.png is 4 x 3 pixels and image 'a' 5 x 3"):
        ground_truth.labels_of(tmp_path / "a.png", truth, "a", 3, 5)
    with pytest.raises(UserError, match="so turn the label map, too"):
        ground_truth.labels_of(tmp_path / "a.png", truth, "a", 4, 3)


def test_a_label_map_whose_name_is_spelt_otherwise_is_named(tmp_path: Path) -> None:
    for name in ("A.npy", "b.npz", "deep/c.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for image, says in [
        ("a", "it holds 'A.npy', which differs in case;"),
        ("b", "it holds 'b.npz', which differs in suffix;"),
        ("c", "it holds 'deep/c.npy', which differs in folders before it;"),
        ("d", r"d\.npy is missing; add it"),
    ]:
        with pytest.raises(UserError, match=says):
            ground_truth.pair([image], tmp_path, "{image}.npy")
