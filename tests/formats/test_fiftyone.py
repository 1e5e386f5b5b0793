"""FiftyOne itself is large; its documented layout of a COCODetectionDataset is checked instead."""

from pathlib import Path

from maskquery.formats import coco, fiftyone, objects
from tests.formats.conftest import NAMES, Pipeline, load_coco


def test_every_image_of_labels_json_stands_in_data(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    fiftyone.write(out, objects.read(pipeline.files, "masks"))
    assert {path.name for path in out.iterdir()} == {"data", "labels.json"}
    entries = load_coco(out / "labels.json").imgs.values()
    assert {entry["file_name"] for entry in entries} == {name for name, _ in NAMES.values()}
    for entry in entries:
        copy = out / "data" / entry["file_name"]
        original = pipeline.files.images / entry["file_name"]
        assert copy.read_bytes() == original.read_bytes()


def test_labels_json_is_what_coco_gives(pipeline: Pipeline, tmp_path: Path) -> None:
    fiftyone.write(tmp_path, objects.read(pipeline.files, "masks"))
    coco.write(tmp_path, objects.read(pipeline.files, "masks"))
    assert (tmp_path / "labels.json").read_bytes() == (tmp_path / "annotations.json").read_bytes()
