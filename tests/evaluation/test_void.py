"""Void: pixels that nothing is known of count for nothing, in truth and prediction alike."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from maskquery.evaluation import breakdown, counts, curves, ground_truth, oracles, panels
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.ground_truth import GroundTruth, TruePlanes
from maskquery.masks.packed import Packed, pack, unpack
from tests.support.builders import Bools

LABELS = np.array([
    [1, 1, 2, 2],
    [1, 255, 255, 2],
    [0, 255, 255, 0],
    [0, 0, 0, -1],
])  # fmt: skip
PREDICTED = np.array([
    [1, 1, 1, 2],
    [1, 1, 2, 2],
    [1, 1, 0, 0],
    [0, 0, 2, 2],
])  # fmt: skip
CLASSES = {"chair": (1,), "sofa": (2,)}


def truth(folder: Path, ignore: tuple[int, ...]) -> GroundTruth:
    return GroundTruth(
        folder=str(folder), pattern="{image}.npy", palette={}, ignore=ignore, labels=CLASSES
    )  # fmt: skip


def planes(folder: Path, ignore: tuple[int, ...], labels: np.ndarray = LABELS) -> TruePlanes:
    np.save(folder / "a.npy", labels)
    known = truth(folder, ignore)
    maps = ground_truth.pair(["a"], folder, known.pattern)
    return ground_truth.true_planes(maps["a"], known, tuple(CLASSES), "a", *labels.shape)


def predicted(labels: np.ndarray = PREDICTED) -> Packed:
    return pack(np.stack([labels == 1, labels == 2]))


def compared(folder: Path, ignore: tuple[int, ...]) -> ImageResult:
    return breakdown.compare(predicted(), planes(folder, ignore), 4)


def test_void_pixels_count_for_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, (255, -1)).counts
    assert (found.tp.tolist(), found.fp.tolist(), found.fn.tolist()) == ([3, 2], [2, 1], [0, 1])
    assert found.pixels.tolist() == [11, 11]
    assert counts.predict_all(found).fp.tolist() == [8, 8]


def test_what_ignore_does_not_name_counts(tmp_path: Path) -> None:
    found = compared(tmp_path, ()).counts
    assert (found.tp.tolist(), found.fp.tolist(), found.fn.tolist()) == ([3, 2], [4, 3], [0, 1])
    assert found.pixels.tolist() == [16, 16]
    also_0 = compared(tmp_path, (255, -1, 0)).counts
    assert (also_0.fp.tolist(), also_0.pixels.tolist()) == ([1, 0], [6, 6])


def test_torchmetrics_ignores_the_same_pixels(tmp_path: Path) -> None:
    found = counts.iou(compared(tmp_path, (255,)).counts)
    labels = np.where(LABELS == -1, 0, LABELS)
    measure = MulticlassJaccardIndex(3, average=None, ignore_index=255)
    expected = measure(torch.tensor(PREDICTED), torch.tensor(labels))
    np.testing.assert_allclose(found, expected[1:], atol=1e-6)


def test_mmsegmentation_ignores_the_same_pixels(tmp_path: Path) -> None:
    # The arithmetic of IoUMetric.intersect_and_union.
    labels = np.where(LABELS == -1, 255, LABELS)
    kept = labels != 255
    answer, known = PREDICTED[kept], labels[kept]
    both, bins = answer[answer == known], np.arange(4)
    shared, of_answer, of_known = (np.histogram(v, bins)[0] for v in (both, answer, known))
    expected = shared / (of_answer + of_known - shared)
    found = counts.iou(compared(tmp_path, (255, -1)).counts)
    np.testing.assert_allclose(found, expected[1:], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_a_label_beyond_the_maps_integers_is_nowhere(tmp_path: Path, dtype: type) -> None:
    labels = np.maximum(LABELS, 0).astype(dtype)
    void = planes(tmp_path, (255, -1), labels).void
    assert void is not None
    np.testing.assert_array_equal(unpack(void, 4), labels == 255)


def test_edges_are_those_of_what_is_left(tmp_path: Path) -> None:
    labels = np.ones((60, 80), int)
    labels[20:40, 30:50] = 255
    whole = pack(np.stack([np.ones((60, 80), bool), np.zeros((60, 80), bool)]))
    found = breakdown.compare(whole, planes(tmp_path, (255,), labels), 80)
    assert counts.iou(found.boundary)[0] == 1.0
    assert found.objects.tp.tolist() == [60 * 80 - 400]


def test_a_mask_in_void_alone_is_no_false_positive(tmp_path: Path) -> None:
    labels = np.array([[255, 255], [0, 0]])
    known = planes(tmp_path, (255,), labels)
    answer = pack(np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]]], bool))
    figures = [
        counts.class_figures(counts.column([breakdown.compare(answer, known, 2).counts], index))
        for index in (0, 1)
    ]
    assert [own["images_without_class"] for own in figures] == [1, 1]
    assert [own["false_positive_images"] for own in figures] == [0, 1]


def test_an_image_that_is_all_void_neither_shows_a_class_nor_lacks_it(tmp_path: Path) -> None:
    known = planes(tmp_path, (255,), np.full((2, 2), 255))
    result = breakdown.compare(predicted(np.ones((2, 2), int)), known, 2)
    found = counts.class_figures(counts.column([result.counts], 0))
    keys = ("images_with_class", "images_without_class", "false_positive_images")
    assert [found[key] for key in keys] == [0, 0, 0]


def test_curves_and_unions_of_known_pixels_are_those_of_a_map_without_the_others(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 1, 2, 255], (6, 24))
    masks, scores = rng.random((5, 6, 24)) < 0.5, rng.random(5).astype(np.float32)
    known, kept = planes(tmp_path, (255,), labels), labels != 255

    def flat(plane: Bools) -> Packed:
        return pack(plane[..., kept][..., None, :])

    true = labels == 1
    found = curves.image_curve(known.without_void(pack(masks)), scores, known.classes[0])
    expected = curves.image_curve(flat(masks), scores, flat(true))
    assert {key: np.asarray(value).tolist() for key, value in vars(found).items()} == {
        key: np.asarray(value).tolist() for key, value in vars(expected).items()
    }
    assert oracles.best_union(
        known.without_void(pack(masks)), known.classes[0]
    ) == oracles.best_union(flat(masks), flat(true))


def test_void_is_hatched_in_panels() -> None:
    image = np.full((400, 400, 3), 90, np.uint8)
    void = np.zeros((400, 400), bool)
    void[:200] = True
    known = TruePlanes(pack(np.zeros((1, 400, 400), bool)), pack(void))
    answer = pack(~np.zeros((400, 400), bool))
    panel = np.asarray(panels.panel_of(image, answer, known, "chair", "a"))
    shown = panel[24 : 24 + 400, 416 : 416 + 400]
    striped = (shown == panels.VOID).all(axis=-1)
    assert 0.3 < striped[:200].mean() < 0.45
    assert not striped[200:].any()
    layers = panels.layers(np.ones((4, 4), bool), LABELS == 1, LABELS == 255)
    assert [layer.name for layer in layers] == [
        "true positive",
        "false negative",
        "false positive",
        "void",
    ]
    assert not any((layer.mask & (LABELS == 255)).any() for layer in layers[:3])


def test_a_label_of_a_class_cannot_be_void(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"label 2 is in ignore and in labels\.sofa"):
        truth(tmp_path, (2,))


def test_the_census_knows_void(tmp_path: Path) -> None:
    census = truth(tmp_path, (255, -1)).census()
    census.add(LABELS)
    assert census.clause() == "; labels of no class: 0 (31.2 %)"
