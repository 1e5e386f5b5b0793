import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskquery.evaluation import breakdown, report
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.masks.packed import pack

CLASSES = ["chair", "sofa", "lamp"]
ORACLE = {
    "chair": {"labels": 0.9, "masks": 0.8, "threshold": 0.7, "auroc": 0.6},
    "sofa": {"labels": 0.5, "threshold": 0.25},
    "lamp": {},
}
NO_PIXEL = np.zeros((4, 4), np.int64)


def images() -> list[ImageResult]:
    """Two images, three classes: found with IoU 1/3 and 1; never found; never shown."""
    true, predicted = np.zeros((2, 3, 4, 10), bool), np.zeros((2, 3, 4, 10), bool)
    true[0, 0, :2], predicted[0, 0, 1:3] = True, True
    true[0, 1, 3], predicted[0, 2, 0, :5] = True, True
    true[1, 0, 0], predicted[1, 0, 0] = True, True
    pairs = zip(pack(predicted), pack(true), strict=True)
    return [breakdown.compare(p, TruePlanes(t, None), 10) for p, t in pairs]


def test_the_report_of_literal_images() -> None:
    found = report.details(images(), CLASSES, ORACLE, NO_PIXEL)
    chair, sofa, lamp = (found["classes"][name] for name in CLASSES)
    basic = ("mean_image_iou", "pooled_iou", "precision", "recall", "f1")
    assert [chair[key] for key in basic] == [0.666667, 0.5, 0.666667, 0.666667, 0.666667]
    assert [sofa.get(key) for key in basic] == [0.0, 0.0, None, 0.0, 0.0]
    assert [lamp.get(key) for key in basic] == [None, 0.0, 0.0, None, 0.0]
    assert (lamp["images_without_class"], lamp["false_positive_images"]) == (2, 1)
    assert found["baselines"]["predict_all"] == {"chair": 0.375, "sofa": 0.25}
    assert found["baselines"]["predict_none"] == {"chair": 0.0, "sofa": 0.0}
    overall = found["overall"]
    assert overall["mean_image_iou"] == 0.333333  # of chair's 0.666667 and sofa's 0
    assert overall["precision"] == 0.333333  # of chair's and lamp's
    assert (overall["images_without_class"], overall["false_positive_images"]) == (3, 1)
    assert "interval" not in overall  # of two images


def test_presence_is_of_each_class_and_over_the_classes() -> None:
    found = report.details(images(), CLASSES, ORACLE, NO_PIXEL)
    chair, sofa, lamp = (found["classes"][name].get("presence") for name in CLASSES)
    assert chair == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "auroc": 0.6}
    assert sofa == {"recall": 0.0, "f1": 0.0}
    assert lamp == {"precision": 0.0, "f1": 0.0}
    overall = {"precision": 0.5, "recall": 0.5, "f1": 0.333333, "auroc": 0.6}
    assert found["overall"]["presence"] == overall


def test_the_confusion_of_all_classes_is_overall() -> None:
    matrix = np.diag([5, 3, 0, 0]) + np.eye(4, k=1, dtype=int)
    found = report.details(images(), CLASSES, ORACLE, matrix)
    assert found["overall"]["pixel_accuracy"] == round(8 / 11, 6)
    assert report.summary(found, "chair")["miou"] == found["overall"]["miou"] == 0.2
    assert "miou" not in report.details(images(), CLASSES, ORACLE, NO_PIXEL)["overall"]


def test_iou_and_losses_add_up_to_one() -> None:
    found = report.details(images(), CLASSES, ORACLE, NO_PIXEL)
    chair, sofa = found["classes"]["chair"], found["classes"]["sofa"]
    assert chair["oracle"] == {"labels": 0.9, "masks": 0.8}
    assert chair["iou_gap"] == pytest.approx(
        {"segmentation": 0.1, "classification": 0.2, "threshold": 0.033333}
    )
    assert sofa["iou_gap"] == {"segmentation": 0.5, "classification": 0.25, "threshold": 0.25}
    for figures in (chair, sofa, found["overall"]):
        assert sum(figures["iou_gap"].values()) + figures["mean_image_iou"] == pytest.approx(1)
    assert found["overall"]["oracle"] == {"labels": 0.7, "masks": 0.8}
    assert "iou_gap" not in found["classes"]["lamp"]


def test_the_summary_is_short() -> None:
    found = report.summary(report.details(images(), CLASSES, ORACLE, NO_PIXEL), "chair")
    assert found["mean_image_iou"] == 0.333333
    assert found["classes"] == {"chair": {"mean_image_iou": 0.666667, "false_positive_images": 0}}
    assert len(leaves(found)) == 14


def leaves(tree: dict) -> list:
    nested = [leaves(value) if isinstance(value, dict) else [value] for value in tree.values()]
    return [leaf for part in nested for leaf in part]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_the_report_is_numbers_only(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.4], (2, count, 3, 1, 1))
    planes = rng.random((2, count, 3, 7, 9)) < share
    results = [
        breakdown.compare(p, TruePlanes(t, None), 9) for p, t in zip(*pack(planes), strict=True)
    ]
    found = report.details(results, CLASSES, ORACLE, NO_PIXEL)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(type(leaf) in (int, float) for leaf in leaves(found))
    short = report.summary(found, "chair")
    assert json.loads(json.dumps(short, allow_nan=False)) == short
