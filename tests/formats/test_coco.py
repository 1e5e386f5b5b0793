import json
from pathlib import Path

import numpy as np
import pytest

from maskquery.formats import coco, objects
from tests.formats.conftest import CLASSES, NAMES, Pipeline, load_coco


def test_regions_come_back_through_cocos_own_code(pipeline: Pipeline, tmp_path: Path) -> None:
    coco.write(tmp_path, objects.read(pipeline.files, "classes"))
    found = load_coco(tmp_path / "annotations.json")
    assert [each["name"] for each in found.loadCats(found.getCatIds())] == list(CLASSES)
    files = {name: image for image, (name, _) in NAMES.items()}
    assert {each["file_name"] for each in found.imgs.values()} == files.keys()
    for entry in found.imgs.values():
        planes = pipeline.planes()[files[entry["file_name"]]]
        assert (entry["height"], entry["width"]) == planes["sofa"].shape
        for category in found.loadCats(found.getCatIds()):
            plane = planes[category["name"]]
            ids = found.getAnnIds(imgIds=[entry["id"]], catIds=[category["id"]])
            assert len(ids) == plane.any()
            for own in found.loadAnns(ids):
                np.testing.assert_array_equal(found.annToMask(own).astype(bool), plane)
                assert own["area"] == plane.sum()
                assert (own["iscrowd"], "score" in own) == (0, False)


def test_masks_come_back_with_their_similarity_and_id(pipeline: Pipeline, tmp_path: Path) -> None:
    coco.write(tmp_path, objects.read(pipeline.files, "masks"))
    found = load_coco(tmp_path / "annotations.json")
    expected = pipeline.chosen()
    files = {name: image for image, (name, _) in NAMES.items()}
    count = 0
    for own in found.anns.values():
        image = files[found.imgs[own["image_id"]]["file_name"]]
        name = found.cats[own["category_id"]]["name"]
        mask = expected[image][name][int(own["mask_id"])]
        np.testing.assert_array_equal(found.annToMask(own).astype(bool), mask)
        x, y, width, height = own["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum() == own["area"]
        row = pipeline.made[image].ids.tolist().index(int(own["mask_id"]))
        similarity = pipeline.similarity[image][row, CLASSES.index(name)]
        assert own["score"] == pytest.approx(similarity, abs=1e-6)
        count += 1
    assert count == sum(len(masks) for each in expected.values() for masks in each.values())


def test_ids_count_from_one_and_names_stand_as_they_are(pipeline: Pipeline, tmp_path: Path) -> None:
    coco.write(tmp_path, objects.read(pipeline.files, "classes"))
    text = (tmp_path / "annotations.json").read_text(encoding="utf-8")
    assert "trip/sommer ü.png" in text
    document = json.loads(text)
    for key in ("images", "annotations", "categories"):
        entries = document[key]
        assert entries
        assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
