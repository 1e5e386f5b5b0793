import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.masks import mask_store
from stages import calibration, predictions
from tests.support.builders import NEUTRAL, random_stack, write_masks, write_scores

CLASSES = ["chair", "sofa"]
LABELS = {"chair": (1,), "sofa": (2,)}
IMAGES = [f"{part}-{number}" for part in ("cal", "test") for number in range(6)]


class Run:
    """Random masks with scores, and label maps: label 1 is the chair, 2 the sofa."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.truth = folder, folder / "truth"
        self.files = [folder / name for name in ("masks.zarr", "scores.parquet", "t.json")]
        stacks = {image: random_stack(rng, 6, 12, 20) for image in IMAGES}
        self.made = write_masks(self.files[0], stacks)
        self.scores = {
            image: rng.random((len(own.ids), 2)).astype(np.float32)
            for image, own in self.made.items()
        }
        write_scores(self.files[1], self.made, CLASSES, self.scores)
        self.truth.mkdir()
        for number, image in enumerate(IMAGES):
            labels = np.zeros((12, 20), int)
            labels[2:8, 3:12] = 1 if number % 3 else 0
            labels[8:, 12:] = 2 if number % 2 else 0
            np.save(self.truth / f"{image}.npy", labels)

    def __call__(self, **changes: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "ground_truth": {
                "folder": str(self.truth),
                "pattern": "{image}.npy",
                "palette": {},
                "ignore": (),
                "labels": LABELS,
            },
            "calibration": ("cal-*",),
            "selection": NEUTRAL,
            "false_positive_cost": 0.0,
            "threshold_shrinkage": 0.0,
        }
        settings = calibration.Params.model_validate(values | changes)
        self.line = calibration.run(*self.files, settings)
        document: dict[str, Any] = json.loads(self.files[2].read_text())
        return document

    def mean_iou(self, images: list[str], name: str, threshold: float) -> float:
        """Slowly, from predictions.zarr."""
        settings = predictions.Params(threshold=threshold, selection=NEUTRAL)
        out = self.folder / "predictions.zarr"
        predictions.run(*self.files, out, settings)
        values, index = [], CLASSES.index(name)
        with mask_store.PredictionStore(out) as store:
            for image in images:
                true = np.load(self.truth / f"{image}.npy") == index + 1
                bits = store.read(image).masks[index]
                found = np.unpackbits(bits, axis=1, count=20).astype(bool)
                if true.any():
                    values.append((found & true).sum() / (found | true).sum())
        return float(np.mean(values))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_no_threshold_is_better_on_the_calibration_part(run: Run) -> None:
    found = run()["classes"]
    assert run.line.startswith("calibration: 6 images, 2 thresholds, ")
    part = [image for image in IMAGES if image.startswith("cal")]
    for name in CLASSES:
        best = run.mean_iou(part, name, found[name])
        for threshold in np.linspace(0, 1, 21):
            assert run.mean_iou(part, name, threshold) <= best + 1e-12


def test_thresholds_are_drawn_towards_the_common_one(run: Run) -> None:
    alone = run()
    half, whole = run(threshold_shrinkage=0.5), run(threshold_shrinkage=1.0)
    for name, own in alone["classes"].items():
        assert half["classes"][name] == pytest.approx((own + alone["common"]) / 2, abs=5.1e-5)
        assert whole["classes"][name] == pytest.approx(alone["common"])
    assert half["common"] == whole["common"] == alone["common"]


def test_a_class_that_no_calibration_image_shows_has_the_common_one(run: Run) -> None:
    for image in IMAGES:
        labels = np.load(run.truth / f"{image}.npy")
        np.save(run.truth / f"{image}.npy", np.where(labels == 2, 0, labels))
    found = run(threshold_shrinkage=0.25)
    assert found["classes"]["sofa"] == found["common"] is not None


def test_the_test_part_is_not_looked_at(run: Run) -> None:
    before = run()
    for image in IMAGES:
        if image.startswith("test"):
            run.scores[image] = run.scores[image][::-1] / 2
            np.save(run.truth / f"{image}.npy", np.full((12, 20), 2))
    write_scores(run.files[1], run.made, CLASSES, run.scores)
    assert run() == before
    assert run(calibration=("test-*",)) != before


def test_predictions_take_each_class_s_own(run: Run) -> None:
    found = run()["classes"]
    settings = predictions.Params(threshold="calibrated", selection=NEUTRAL)
    out = run.folder / "predictions.zarr"
    line = predictions.run(*run.files, out, settings)
    assert line == "predictions: 12 images, threshold calibrated: chair, sofa"
    limits = np.array([found[name] for name in CLASSES], np.float32)
    with mask_store.PredictionStore(out) as store:
        for image in IMAGES:
            expected = (run.scores[image] > limits).sum(axis=0)
            assert store.read(image).chosen == tuple(expected)


def test_without_ground_truth_or_calibration_part_there_is_none(run: Run) -> None:
    empty = run.folder / "empty"
    empty.mkdir()
    known = {
        "folder": str(empty),
        "pattern": "{image}.npy",
        "palette": {},
        "ignore": (),
        "labels": LABELS,
    }
    for changes in ({"ground_truth": known}, {"calibration": ()}, {"calibration": ("room-*",)}):
        assert run(**changes) == {"common": None, "classes": {"chair": None, "sofa": None}}
        assert run.line.startswith("calibration: no image of the calibration split")
        settings = predictions.Params(threshold="calibrated", selection=NEUTRAL)
        with pytest.raises(UserError, match=r"threshold: calibrated needs .* shows chair, sofa"):
            predictions.run(*run.files, run.folder / "p.zarr", settings)
