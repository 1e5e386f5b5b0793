from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from maskquery.formats import objects, yolo
from tests.formats.conftest import CLASSES, NAMES, Pipeline

Shares = npt.NDArray[np.float32]


def read(path: Path) -> list[tuple[int, Shares]]:
    """The rows of a label file: a class and a polygon, (P, 2) float32 as Ultralytics keeps it."""
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    return [(int(row[0]), np.array(row[1:], np.float32).reshape(-1, 2)) for row in rows]


def rasterised(polygon: Shares, height: int, width: int) -> npt.NDArray[np.bool_]:
    """As Ultralytics does: coordinates are cut to integers, `cv2.fillPoly` fills."""
    picture = np.zeros((height, width), np.uint8)
    points = (polygon * np.array([width, height], np.float32)).astype(np.int32)
    cv2.fillPoly(picture, [points], 1)
    return picture.astype(bool)


@pytest.mark.parametrize("what", ["classes", "masks"])
def test_polygons_give_the_pixels_back(
    pipeline: Pipeline, tmp_path: Path, what: objects.What
) -> None:
    yolo.write(tmp_path, objects.read(pipeline.files, what))
    for image, planes in pipeline.planes().items():
        path = tmp_path / yolo.labels_of(f"images/{NAMES[image][0]}")
        found = {name: np.zeros_like(plane) for name, plane in planes.items()}
        for number, polygon in read(path):
            assert polygon.shape[0] >= 3
            assert polygon.min() > 0
            assert polygon.max() < 1
            found[CLASSES[number]] |= rasterised(polygon, *planes["sofa"].shape)
        for name, plane in planes.items():
            np.testing.assert_array_equal(found[name], plane)


def test_large_coordinates_keep_their_pixel() -> None:
    # The shares' digits and float32 must not move a point to the pixel beside it.
    for side in (1, 3, 511, 4097, 10_000):
        pixels = np.arange(side)
        texts = [f"{share:.{yolo.DIGITS}f}" for share in (pixels + 0.5) / side]
        back = np.array(texts, np.float32) * np.float32(side)
        np.testing.assert_array_equal(back.astype(np.int32), pixels)


def test_images_are_copied_and_an_image_without_objects_has_an_empty_file(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    yolo.write(tmp_path, objects.read(pipeline.files, "classes"))
    for name, _ in NAMES.values():
        copy = tmp_path / "images" / name
        assert copy.read_bytes() == (pipeline.files.images / name).read_bytes()
        assert not copy.is_symlink()
    assert (tmp_path / "labels/low.txt").read_bytes() == b""


def test_data_yaml_names_classes_and_folders(pipeline: Pipeline, tmp_path: Path) -> None:
    yolo.write(tmp_path, objects.read(pipeline.files, "classes"))
    data = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert data == {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("images/trip/a.b.jpg", "labels/trip/a.b.txt"),
        ("images/images/x.png", "images/labels/x.txt"),
        ("images/my.images/x.png", "labels/my.images/x.txt"),
    ],
)
def test_labels_stand_where_ultralytics_looks_for_them(image: str, labels: str) -> None:
    # Its own rule, word for word: the last "/images/" becomes "/labels/".
    rule = "/labels/".join(f"/out/{image}".rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
    assert f"/out/{labels}" == rule
    assert yolo.labels_of(image) == labels
