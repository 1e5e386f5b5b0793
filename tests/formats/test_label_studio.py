import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest

from maskquery.formats import label_studio, objects
from tests.formats.conftest import CLASSES, NAMES, Pipeline


def decoded(rle: list[int]) -> npt.NDArray[np.uint8]:
    """`decode` of rle-pack, written down once more from its description, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        assert place <= len(bits)
        return int(bits[place - count : place], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < total:
        run, length = take(1), take(sizes[take(2)]) + 1
        out += [take(word)] * length if run else [take(word) for _ in range(length)]
    assert len(out) == total
    return np.array(out, np.uint8)


@pytest.mark.parametrize("what", ["classes", "masks"])
def test_brush_masks_come_back(pipeline: Pipeline, tmp_path: Path, what: objects.What) -> None:
    label_studio.write(tmp_path, objects.read(pipeline.files, what), "http://host/")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    by_name = {unquote(task["data"]["image"]): task for task in tasks}
    for image, by_class in pipeline.chosen().items():
        name, (_, height, width) = NAMES[image]
        (prediction,) = by_name[f"http://host/{name}"]["predictions"]
        for label, masks in by_class.items():
            own = [r for r in prediction["result"] if r["value"]["brushlabels"] == [label]]
            found = []
            for region in own:
                assert (region["original_height"], region["original_width"]) == (height, width)
                rgba = decoded(region["value"]["rle"]).reshape(height, width, 4)
                assert np.all(rgba == rgba[..., 3:])
                assert set(np.unique(rgba)) <= {0, 255}
                found.append((rgba[..., 3] > 0).tobytes())
            plane = pipeline.planes()[image][label]
            regions = [plane] if plane.any() else []
            expected = regions if what == "classes" else [*masks.values()]
            assert sorted(found) == sorted(mask.tobytes() for mask in expected)
        ids = [region["id"] for region in prediction["result"]]
        assert len(set(ids)) == len(ids)


def test_the_bytes_begin_as_those_that_label_studio_writes() -> None:
    # An export of Label Studio itself of 4032 x 3024 pixels begins so: the header, and runs of
    # 65536 zeros. https://huggingface.co/datasets/farmaieu/plantorgans, labels_raw/1016
    exported = [2, 232, 48, 0, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31, 255, 252, 3, 255, 255]
    pixels = np.zeros(4032 * 3024, bool)
    pixels[2_000_000:2_000_100] = True
    assert list(label_studio.brush(pixels)[: len(exported)]) == exported


@pytest.mark.parametrize("run", [1, 2, 3, 4, 5, 64, 65, 16384, 16385, 70000])
def test_runs_of_every_size_come_back(run: int) -> None:
    pixels = np.repeat([False, True, False], [run, run, 1])
    back = decoded(list(label_studio.brush(pixels)))
    np.testing.assert_array_equal(back, np.repeat(pixels, 4) * np.uint8(255))


def test_the_interface_has_the_labels_that_tasks_refer_to(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    label_studio.write(tmp_path, objects.read(pipeline.files, "masks"), "x/")
    view = ElementTree.parse(tmp_path / "config.xml").getroot()
    brush, image = view.find("BrushLabels"), view.find("Image")
    assert brush is not None
    assert image is not None
    assert [label.get("value") for label in brush] == list(CLASSES)
    assert (brush.get("toName"), image.get("value")) == (image.get("name"), "$image")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert {(r["from_name"], r["to_name"]) for r in regions} == {
        (brush.get("name"), image.get("name"))
    }
    assert all(-1 <= region["score"] <= 1 for region in regions)


def test_an_image_without_objects_is_a_task_too(pipeline: Pipeline, tmp_path: Path) -> None:
    label_studio.write(tmp_path, objects.read(pipeline.files, "classes"), "/data/?d=")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    results = {task["data"]["image"]: task["predictions"][0]["result"] for task in tasks}
    assert results["/data/?d=low.webp"] == []
    assert "/data/?d=trip/sommer%20%C3%BC.png" in results
    assert len(results) == len(NAMES)
