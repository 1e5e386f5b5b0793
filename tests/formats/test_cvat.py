import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.formats import cvat, objects
from tests.formats.conftest import CLASSES, NAMES, Pipeline
from tests.support.builders import Bools


def decoded(mask: ElementTree.Element, height: int, width: int) -> Bools:
    """After CVAT's description: counts go along the rows of the box, background first."""
    left, top, columns, rows = (int(mask.attrib[key]) for key in ("left", "top", "width", "height"))
    pixels: list[bool] = []
    for number, count in enumerate(mask.attrib["rle"].split(",")):
        pixels += [number % 2 == 1] * int(count)
    result = np.zeros((height, width), bool)
    result[top : top + rows, left : left + columns] = np.reshape(pixels, (rows, columns))
    return result


@pytest.mark.parametrize("what", ["classes", "masks"])
def test_masks_come_back(pipeline: Pipeline, tmp_path: Path, what: objects.What) -> None:
    cvat.write(tmp_path, objects.read(pipeline.files, what))
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == list(CLASSES)
    images = {image.attrib["name"]: image for image in root.iter("image")}
    assert images.keys() == {name for name, _ in NAMES.values()}
    for image, by_class in pipeline.chosen().items():
        name, (_, height, width) = NAMES[image]
        entry = images[name]
        assert (entry.attrib["height"], entry.attrib["width"]) == (str(height), str(width))
        for label, masks in by_class.items():
            own = [decoded(each, height, width) for each in entry if each.get("label") == label]
            expected = [*masks.values()]
            if what == "classes":
                plane = pipeline.planes()[image][label]
                expected = [plane] if plane.any() else []
            assert sorted(each.tobytes() for each in own) == sorted(
                each.tobytes() for each in expected
            )


@pytest.mark.parametrize(
    ("pixels", "lengths"),
    [([0, 0, 1], [2, 1]), ([1, 1, 0], [0, 2, 1]), ([1], [0, 1]), ([0, 1, 0, 1], [1, 1, 1, 1])],
)
def test_runs_begin_with_background(pixels: list[int], lengths: list[int]) -> None:
    assert cvat.runs(np.array(pixels, bool)) == lengths


def test_a_name_that_xml_cannot_hold_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    found = dataclasses.replace(objects.read(pipeline.files, "classes"), classes=("a\x07b",))
    with pytest.raises(UserError, match=r"'a\\x07b' has the character '\\x07'"):
        cvat.write(tmp_path, found)
