import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.formats import coco, import_coco, objects
from maskquery.formats.import_coco import Params, Sets
from maskquery.masks.packed import unpack
from tests.formats.conftest import CLASSES, NAMES, Pipeline, load_coco
from tests.support.builders import ROOT, Bools


class Truth(params.Section):
    ground_truth: GroundTruth


@pytest.fixture
def source(pipeline: Pipeline, tmp_path: Path) -> Path:
    """Overlapping masks of several classes as a COCO file."""
    coco.write(tmp_path, objects.read(pipeline.files, "masks"))
    return tmp_path / "annotations.json"


def given(pipeline: Pipeline, *classes: str) -> Params:
    document = {"images": str(pipeline.files.images), "classes": dict.fromkeys(classes or CLASSES)}
    return Params.model_validate(document)


def section(out: Path) -> GroundTruth:
    return params.load(Truth, out / "ground_truth.yaml").ground_truth


def test_the_pipeline_reads_the_pixels_that_coco_has(
    pipeline: Pipeline, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "truth"
    line = import_coco.run(source, out, given(pipeline), {})
    truth, theirs = section(out), load_coco(source)
    maps = ground_truth.pair(NAMES, truth.folder, truth.pattern)
    assert maps.keys() == NAMES.keys()
    files = {entry["file_name"]: entry["id"] for entry in theirs.imgs.values()}
    several = 0
    for image, path in maps.items():
        labels = ground_truth.read_labels(path, truth.palette)
        packed = ground_truth.class_planes(labels, CLASSES, truth.labels)
        planes = unpack(packed, labels.shape[1])
        for name, plane in zip(CLASSES, planes, strict=True):
            ids = theirs.getAnnIds(
                imgIds=[files[NAMES[image][0]]], catIds=theirs.getCatIds(catNms=[name])
            )
            masks = [theirs.annToMask(each) for each in theirs.loadAnns(ids)]
            expected = np.any([np.zeros(labels.shape), *masks], axis=0)
            np.testing.assert_array_equal(plane, expected)
        several += int((planes.sum(axis=0) > 1).sum())
    assert several > 0
    assert f"{len(theirs.anns)} annotations" in line
    assert f"{several} pixels are of several classes" in line


def test_labels_of_single_classes_come_first_and_sets_as_they_occur() -> None:
    sets = Sets(("a", "b", "c"))
    a = np.array([[1, 1, 0, 0, 1]], bool)
    b = np.array([[0, 1, 1, 0, 1]], bool)
    c = np.array([[0, 0, 0, 0, 1]], bool)
    assert sets.label_map({"a": a, "c": c}, 1, 5).tolist() == [[1, 1, 0, 0, 4]]
    assert sets.label_map({"a": a, "b": b, "c": c}, 1, 5).tolist() == [[1, 5, 2, 0, 6]]
    assert [sets.of(name) for name in "abc"] == [[1, 4, 5, 6], [2, 5, 6], [3, 4, 6]]


def test_any_planes_come_back_from_their_labels() -> None:
    rng = np.random.default_rng(0)
    names = tuple("abcdefghij")
    sets = Sets(names)
    images: list[dict[str, Bools]] = [
        {name: rng.random((30, 40)) < 0.3 for name in rng.permutation(names)[:count].tolist()}
        for count in (0, 1, 5, 10)
    ]
    maps = [sets.label_map(planes, 30, 40) for planes in images]
    assert maps[-1].max() > 255
    for planes, labels in zip(images, maps, strict=True):
        for name in names:
            expected = planes.get(name, np.zeros((30, 40), bool))
            np.testing.assert_array_equal(np.isin(labels, sets.of(name)), expected)


def test_many_labels_are_read_back_from_16_bits(tmp_path: Path) -> None:
    for highest in (255, 256, 65535):
        labels = np.array([[0, highest]], np.uint16)
        import_coco._save(labels, tmp_path / "x.png")
        read = ground_truth.read_labels(tmp_path / "x.png", {})
        np.testing.assert_array_equal(read, labels)


def test_a_class_may_have_several_categories_of_other_names(
    pipeline: Pipeline, source: Path, tmp_path: Path
) -> None:
    renamed = {CLASSES[0]: "seat", CLASSES[1]: "seat"}
    import_coco.run(source, tmp_path / "truth", given(pipeline, "seat"), renamed)
    truth = section(tmp_path / "truth")
    assert dict(truth.labels) == {"seat": (1,)}
    for image, planes in pipeline.planes().items():
        with Image.open(tmp_path / "truth" / f"{image}.png") as picture:
            labels = np.array(picture)
        np.testing.assert_array_equal(labels == 1, planes[CLASSES[0]] | planes[CLASSES[1]])


def test_a_class_without_a_category_is_refused(
    pipeline: Pipeline, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no category 'bed' .*--category NAME=bed"):
        import_coco.run(source, tmp_path / "truth", given(pipeline, "bed", *CLASSES), {})
    with pytest.raises(UserError, match="--category couch=sofa: there is no such category"):
        import_coco.run(source, tmp_path / "truth", given(pipeline), {"couch": "sofa"})
    with pytest.raises(UserError, match="--category sofa=bed: there is no such class"):
        import_coco.run(source, tmp_path / "truth", given(pipeline), {"sofa": "bed"})


def changed(source: Path, **entry: Any) -> Path:
    """The file with another first image."""
    document = json.loads(source.read_text(encoding="utf-8"))
    document["images"][0] |= entry
    source.write_text(json.dumps(document))
    return source


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"file_name": "../bare.png"}, "is no path in a folder"),
        ({"file_name": "/bare.png"}, "is no path in a folder"),
        ({"file_name": "low.png"}, "two entries would be image 'low'"),
        (
            {"file_name": "other.png"},
            "1 of .* images are not in .* the first is 'bare'; of 0 of them",
        ),
        ({"height": 8}, r"bare.png is 11 x 7 pixels, and in .* 11 x 8"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    pipeline: Pipeline, source: Path, tmp_path: Path, entry: dict[str, Any], why: str
) -> None:
    with pytest.raises(UserError, match=why):
        import_coco.run(changed(source, **entry), tmp_path / "truth", given(pipeline), {})
    assert not (tmp_path / "truth").exists()


@pytest.mark.parametrize(
    "name", ["JPEGImages/bare.png", r"set\bare.png", "/data/x/bare.png", "BARE.PNG", "a%2Fbare.png"]
)
def test_another_spelling_is_named_and_taken_if_asked(
    pipeline: Pipeline, source: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "truth"
    import_coco.run(source, out, given(pipeline), {})
    expected = (out / "bare.png").read_bytes()
    file = changed(source, file_name=name)
    if not name.startswith("/"):
        with pytest.raises(UserError, match=r"1 of .* images are not in .* by --match"):
            import_coco.run(file, tmp_path / "other", given(pipeline), {})
    import_coco.run(file, tmp_path / "other", given(pipeline), {}, match=True)
    assert (tmp_path / "other/bare.png").read_bytes() == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_in_another_encoding_is_read(
    pipeline: Pipeline, source: Path, tmp_path: Path, encoding: str
) -> None:
    source.write_bytes(source.read_text(encoding="utf-8").encode(encoding))
    import_coco.run(source, tmp_path / "truth", given(pipeline), {})


def test_an_annotation_that_cannot_be_decoded_is_named(
    pipeline: Pipeline, source: Path, tmp_path: Path
) -> None:
    document = json.loads(source.read_text(encoding="utf-8"))
    document["annotations"][2]["segmentation"]["counts"] = "zzzz"
    source.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"annotations\.json: annotation 3: its counts have the"):
        import_coco.run(source, tmp_path / "truth", given(pipeline), {})


def test_at_the_command_line(pipeline: Pipeline, source: Path, tmp_path: Path) -> None:
    document = {"images": "pictures", "classes": {"couch": ["a couch"]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "maskquery", "import", source.name, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--category", "sofa=couch", "--out", "truth")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("import_coco: 5 label maps of ")
    assert section(tmp_path / "truth").folder == Path("truth")
    done = run("--category", "sofa")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --category sofa: it must be CATEGORY=CLASS")
