"""Against pycocotools' own reading of whole files, and what it must never be given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskquery.core.errors import UserError
from maskquery.formats import coco_file
from tests.formats.conftest import load_coco

HEIGHT, WIDTH = 20, 31
POLYGONS = [[2, 2, 18.5, 2, 18.5, 12, 2, 12], [20, 1, 30.9, 1, 25, 19]]


def segmentations() -> dict[str, Any]:
    mask = np.asfortranarray(np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.4, np.uint8)
    compressed = coco_mask.encode(mask)["counts"].decode()
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    size = [HEIGHT, WIDTH]
    return {
        "polygons": POLYGONS,
        "beyond the edge": [[-3, -2, 40, 5, 10, 25]],
        "compressed": {"size": size, "counts": compressed},
        "lengths": {"size": size, "counts": counts},
    }


def document(**changes: Any) -> dict[str, Any]:
    annotations = [
        {"id": number, "image_id": 5, "category_id": 3, "segmentation": each, "iscrowd": crowd}
        for number, (each, crowd) in enumerate(
            zip(segmentations().values(), (0, 0, 1, 1), strict=True), start=1
        )
    ]
    return {
        "info": {},
        "images": [{"id": 5, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "chair"}],
        **changes,
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_pixels_are_those_of_cocos_own_code(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", document())
    theirs = load_coco(path)
    ours = coco_file.read(path)
    assert len(ours.annotations) == 4
    for annotation in ours.annotations:
        expected = theirs.annToMask(theirs.anns[annotation.id]).astype(bool)
        assert expected.any()
        np.testing.assert_array_equal(coco_file.pixels(annotation, HEIGHT, WIDTH), expected)


@pytest.mark.parametrize(
    ("segmentation", "why"),
    [
        ([[0, 0, 1, 1, 2, 2, 3]], "a polygon has 7 coordinates"),
        ([[0, 0, 1e9, 1, 2, 2]], "goes to 1000000000.0, far outside of 31 x 20 pixels"),
        ({"size": [31, 20], "counts": "04"}, r"its size is \(31, 20\)"),
        ({"size": [20, 31], "counts": "zzzz"}, "the character 'z'"),
        ({"size": [20, 31], "counts": "oooo"}, "end too early"),
        ({"size": [20, 31], "counts": ""}, "end too early"),
        ({"size": [20, 31], "counts": "04"}, "counts are of 4 pixels, not 620"),
        ({"size": [20, 31], "counts": [3, 2, 400_000]}, "counts are of 400005 pixels, not 620"),
        ({"size": [20, 31], "counts": [3, 2]}, "counts are of 5 pixels, not 620"),
    ],
)
def test_what_cannot_lie_in_the_image_is_refused(segmentation: Any, why: str) -> None:
    annotation = coco_file.Annotation.model_validate(
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    )
    with pytest.raises(ValueError, match=why):
        coco_file.pixels(annotation, HEIGHT, WIDTH)


def test_lengths_are_those_that_pycocotools_wrote() -> None:
    rng = np.random.default_rng(0)
    for shape, density in (((1, 1), 0.5), ((40, 50), 0.5), ((300, 200), 0.001), ((64, 1), 0.0)):
        for _ in range(20):
            mask = rng.random(shape) < density
            counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
            changes = np.flatnonzero(np.diff(mask.T.reshape(-1), prepend=False))
            expected = np.diff(changes, prepend=0, append=mask.size).tolist()
            assert coco_file.lengths(counts) == expected


IMAGE = {"id": 5, "file_name": "a.jpg", "height": 2, "width": 2}
ANNOTATION = {"id": 7, "image_id": 5, "category_id": 3, "segmentation": POLYGONS}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"annotations": None}, "annotations: Input should be"),
        ({"annotations": [{**ANNOTATION, "segmentation": [[1, 2, 3, 4]]}]}, "segmentation"),
        ({"annotations": [{**ANNOTATION, "segmentation": {"size": [2, 2], "counts": [-1, 5]}}]},
         "counts"),
        ({"annotations": [{**ANNOTATION, "segmentation": {"size": [2, 2], "counts": []}}]},
         "counts"),
        ({"annotations": [{**ANNOTATION, "image_id": 6}]}, "annotation 7: there is no image_id 6"),
        ({"annotations": [{**ANNOTATION, "category_id": 9}]}, "there is no category_id 9"),
        ({"images": [{**IMAGE, "height": 0}]}, "images.0.height"),
        ({"images": [IMAGE, IMAGE]}, "two images have the id 5"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "two categories have"),
    ],
)  # fmt: skip
def test_a_file_whose_parts_do_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(UserError, match=why):
        coco_file.read(write(tmp_path / "a.json", document(**changes)))


def test_a_coordinate_that_is_no_number_is_refused() -> None:
    nan = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 1, 1, 2, "nan"]]}
    with pytest.raises(ValueError, match="goes to nan"):
        coco_file.pixels(coco_file.Annotation.model_validate(nan), HEIGHT, WIDTH)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"images": []}'])
def test_what_is_no_coco_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is not COCO JSON: "):
        coco_file.read(path)
    with pytest.raises(UserError, match=r"b\.json cannot be read"):
        coco_file.read(tmp_path / "b.json")


@pytest.mark.parametrize("segmentation", [{}, {"segmentation": []}])
def test_a_box_alone_is_read_and_has_no_pixels(
    tmp_path: Path, segmentation: dict[str, Any]
) -> None:
    box = {"id": 7, "image_id": 5, "category_id": 3, "bbox": [0, 0, 2, 2], **segmentation}
    (own,) = coco_file.read(write(tmp_path / "a.json", document(annotations=[box]))).annotations
    with pytest.raises(ValueError, match="a box without a segmentation"):
        coco_file.pixels(own, HEIGHT, WIDTH)
