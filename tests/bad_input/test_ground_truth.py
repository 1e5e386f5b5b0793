"""Label maps that are not as they should be."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth

PALETTE = {1: (0, 0, 0), 2: (255, 255, 255)}


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((3, 4), int))
    return buffer.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def picture(mode: str, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 3), "red").save(buffer, kind)
    return buffer.getvalue()


REFUSED = {
    "text": ("a.npy", npy(np.array([["a"]])), "labels are integers"),
    "complex numbers": ("a.npy", npy(np.ones((3, 4), complex)), "labels are integers"),
    "fractions": ("a.npy", npy(np.full((3, 4), 0.5)), "numbers that are not whole"),
    "NaN": ("a.npy", npy(np.full((3, 4), np.nan)), "numbers that are not whole"),
    "three dimensions": ("a.npy", npy(np.zeros((3, 4, 1), int)), "has the shape (3, 4, 1)"),
    "one number": ("a.npy", npy(7), "has the shape ()"),
    "pickled objects": ("a.npy", npy(np.array([[{}]], object)), "allow_pickle=False"),
    "a bare pickle": ("a.npy", b"\x80\x04N.", "cannot be read as .npy"),
    "an archive of arrays": ("a.npy", npz(), "cannot be read as .npy"),
    "a truncated array": ("a.npy", npy(np.zeros((3, 4), int))[:-1], "cannot be read as .npy"),
    "no byte": ("a.npy", b"", "cannot be read as .npy"),
    "a header that claims 10^18 numbers": (
        "a.npy",
        header("(1000000000, 1000000000)"),
        "cannot be read as .npy",
    ),
    "a header that runs code": ("a.npy", header("__import__('os')"), "cannot be read as .npy"),
    "a grey JPEG": ("a.jpg", picture("L", "JPEG"), "changes labels: save it as PNG"),
    "colours without a palette": ("a.png", picture("RGB"), "give each label's colour"),
    "CMYK": ("a.jpg", picture("CMYK", "JPEG"), "labels are integers or RGB colours"),
}


@pytest.mark.parametrize(("name", "data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_holds_no_labels_is_refused_by_name(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as error:
        ground_truth.read_labels(tmp_path / name, {})
    assert str(error.value).startswith(str(tmp_path / name))
    assert message in str(error.value)


@pytest.mark.parametrize("label", [-1, -(2**63), 2**63 - 1, 10**9])
def test_labels_that_no_class_has_are_nothing(tmp_path: Path, label: int) -> None:
    """Negative and huge ones too: the pixels belong to no class."""
    labels = np.full((3, 4), label)
    labels[0, 0] = 6
    (tmp_path / "a.npy").write_bytes(npy(labels))
    found = ground_truth.read_labels(tmp_path / "a.npy", {})
    assert ground_truth.class_mask(found, [6]).sum() == 1
    assert ground_truth.class_mask(found, [0, 1, 255]).sum() == 0


def test_unsigned_labels_beyond_all_signed_ones(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(np.full((3, 4), 2**64 - 1, np.uint64)))
    found = ground_truth.read_labels(tmp_path / "a.npy", {})
    assert not ground_truth.class_mask(found, [-1, 6]).any()


def test_another_size_than_the_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is 4 x 3 pixels and image 'a' 5 x 3"):
        ground_truth.expect_shape((3, 4), 3, 5, tmp_path / "a.npy", "a")
