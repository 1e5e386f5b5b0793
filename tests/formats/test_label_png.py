import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.formats import label_png, objects
from maskquery.formats.objects import AnnotatedImage, Object
from maskquery.masks.packed import pack
from tests.formats.conftest import CLASSES, Pipeline
from tests.support.builders import Bools


def test_pixels_of_one_class_have_its_number_and_the_smallest_region_lies_on_top(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    remark = label_png.write(tmp_path, objects.read(pipeline.files, "classes"))
    names = json.loads((tmp_path / "classes.json").read_text(encoding="utf-8"))
    assert names == {"0": "background", "1": CLASSES[0], "2": CLASSES[1], "3": CLASSES[2]}
    shared = 0
    for image, planes in pipeline.planes().items():
        path = tmp_path / "labels" / f"{image}.png"
        with Image.open(path) as picture:
            labels = np.array(picture)
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), labels)
        count = np.sum([*planes.values()], axis=0)
        shared += (count > 1).sum()
        assert not labels[count == 0].any()
        smallest = min(planes, key=lambda name: planes[name].sum() or np.inf)
        for number, name in names.items():
            if name in planes:
                assert np.all(labels[planes[name] & (count == 1)] == int(number))
            if name == smallest:
                assert np.all(labels[planes[name]] == int(number))
    assert remark.startswith(f"{shared} pixels of several classes")
    assert shared > 0


def test_without_overlaps_the_planes_come_back_exactly(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.similarity = {image: rows * 0 - 1 for image, rows in pipeline.similarity.items()}
    found = objects.read(pipeline.files, "classes")
    image = next(found.images)
    left = np.zeros((image.height, image.width), bool)
    left[:, :3] = True
    apart = dataclasses.replace(
        image, objects=(object_of(CLASSES[2], left), object_of(CLASSES[0], ~left))
    )
    labels, shared = label_png.label_map(apart, CLASSES)
    np.testing.assert_array_equal(labels == 3, left)
    np.testing.assert_array_equal(labels == 1, ~left)
    assert shared == 0


def object_of(name: str, mask: Bools) -> Object:
    return Object(name, pack(mask), (0, 0, 1, 1), int(mask.sum()))


def test_of_two_equal_regions_the_first_class_lies_on_top(tmp_path: Path) -> None:
    every = np.ones((2, 3), bool)
    twice = (object_of("b", every), object_of("a", every))
    image = AnnotatedImage("x", tmp_path, "x.png", 2, 3, twice, ("a", "b"))
    labels, shared = label_png.label_map(image, ("a", "b"))
    assert (labels.tolist(), shared) == ([[1, 1, 1], [1, 1, 1]], 6)


def test_more_classes_than_numbers_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    found = dataclasses.replace(
        objects.read(pipeline.files, "classes"), classes=tuple(map(str, range(256)))
    )
    with pytest.raises(UserError, match="256 classes do not fit"):
        label_png.write(tmp_path, found)
