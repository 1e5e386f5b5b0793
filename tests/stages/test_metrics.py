import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats import pack as pack_files
from retrieval import mask_store
from retrieval.errors import UserError
from retrieval.ground_truth import GroundTruth
from retrieval.masks import ImagePredictions, pack
from stages import metrics
from tests.builders import Bools

LABELS = {"chair": (6, 7), "sofa": (3,), "lamp": (9,)}
SIZES = {"a": (9, 13), "b": (6, 24), "scan/c": (5, 5)}


class Run:
    """A folder with inputs, and the stage's run on it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.predictions, self.output = folder / "predictions.zarr", folder / "m" / "metrics.json"
        self.truth = folder / "gt"
        self.planes: dict[str, Bools] = {n: rng.random((3, *s)) < 0.4 for n, s in SIZES.items()}
        self.planes["b"][1] = False
        self.labels = {n: rng.choice([0, 3, 6, 7], s) for n, s in SIZES.items()}
        self.labels["scan/c"][self.labels["scan/c"] == 3] = 0
        self.write_predictions(tuple(LABELS))
        for image, labels in self.labels.items():
            path = self.truth / f"{image}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, labels)

    def write_predictions(self, classes: tuple[str, ...]) -> None:
        groups = [
            ImagePredictions(image, *SIZES[image], classes, pack(self.planes[image]), 10, (4, 0, 1))
            for image in mask_store.shard_order(self.planes)
        ]
        mask_store.write(self.predictions, groups)

    def __call__(self, *, calibration: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
        section = {"folder": str(self.truth), "pattern": "{image}.npy", "palette": {}}
        truth = GroundTruth.model_validate({**section, "labels": LABELS, **changes})
        settings = metrics.Params(ground_truth=truth, calibration=calibration)
        self.line = metrics.run(self.predictions, self.output, settings)
        found: dict[str, Any] = json.loads(self.output.read_text())
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def slow_figures(run: Run, index: int, labels: tuple[int, ...]) -> dict[str, float]:
    """The figures of a class, pixel by pixel."""
    ious, total, false_alarms = [], {"tp": 0, "fp": 0, "fn": 0}, 0
    for image in SIZES:
        tp = fp = fn = 0
        for predicted, label in zip(
            run.planes[image][index].ravel(), run.labels[image].ravel(), strict=True
        ):
            true = int(label) in labels
            tp += predicted and true
            fp += predicted and not true
            fn += true and not predicted
        if tp + fn:
            ious.append(tp / (tp + fp + fn))
        else:
            false_alarms += fp > 0
        total = {"tp": total["tp"] + tp, "fp": total["fp"] + fp, "fn": total["fn"] + fn}
    figures = {
        "images_with_class": len(ious),
        "images_absent": len(SIZES) - len(ious),
        "false_alarm_images": false_alarms,
        "pooled_iou": total["tp"] / sum(total.values()),
        "precision": total["tp"] / (total["tp"] + total["fp"]),
    }
    if ious:
        figures["mean_image_iou"] = sum(ious) / len(ious)
        figures["recall"] = total["tp"] / (total["tp"] + total["fn"])
    return figures


def test_figures_are_what_counting_pixels_gives(run: Run) -> None:
    found = run()
    assert (found["images"], found["masks"]) == (3, 30)
    for index, (name, labels) in enumerate(LABELS.items()):
        figures = found["classes"][name]
        assert figures.pop("masks") == [12, 0, 3][index]
        assert figures == pytest.approx(slow_figures(run, index, labels), abs=1e-6)
    means = [found["classes"][name]["mean_image_iou"] for name in ("chair", "sofa")]
    assert found["mean_image_iou"] == pytest.approx(sum(means) / 2, abs=1e-6)


def test_the_baselines_stand_beside_them(run: Run) -> None:
    found = run()["baselines"]
    shares = [np.isin(labels, LABELS["chair"]).mean() for labels in run.labels.values()]
    assert found["everything"]["chair"] == pytest.approx(np.mean(shares), abs=1e-6)
    assert found["everything"].keys() == {"chair", "sofa"}
    assert found["nothing"] == {"chair": 0.0, "sofa": 0.0}


def test_a_class_that_no_image_shows_is_left_out_and_said_to_be(run: Run) -> None:
    found = run()
    assert "mean_image_iou" not in found["classes"]["lamp"]
    assert found["classes"]["lamp"]["false_alarm_images"] == 3
    assert run.line.endswith("; no image shows lamp: left out")
    assert f"chair {found['classes']['chair']['mean_image_iou']:.4f}" in run.line


def test_ground_truth_that_shows_none_of_the_classes_is_not_taken_for_none(run: Run) -> None:
    found = run(labels=dict.fromkeys(LABELS, (100,)))
    assert not {"mean_image_iou", "baselines"} & found.keys()
    assert {figures["images_absent"] for figures in found["classes"].values()} == {3}
    assert run.line.endswith(": none; no image shows chair, sofa, lamp: left out")


def test_the_file_is_the_same_every_time(run: Run) -> None:
    run()
    first = run.output.read_bytes()
    assert first.endswith(b"}\n")
    run()
    assert run.output.read_bytes() == first


def test_without_ground_truth_only_images_and_masks_are_counted(run: Run) -> None:
    found = run(folder=str(run.truth.parent / "nowhere"))
    assert found == {
        "images": 3,
        "masks": 30,
        "classes": {"chair": {"masks": 12}, "sofa": {"masks": 0}, "lamp": {"masks": 3}},
    }
    assert "no ground truth in" in run.line


def test_a_missing_label_map_is_named(run: Run) -> None:
    (run.truth / "b.npy").unlink()
    with pytest.raises(UserError, match=r"image 'b' has no ground truth: .*b\.npy is missing"):
        run()


def test_a_label_map_of_another_size_is_named_with_both_sizes(run: Run) -> None:
    np.save(run.truth / "b.npy", np.zeros((24, 6), int))
    with pytest.raises(UserError, match=r"b\.npy is 6 x 24 pixels and image 'b' 24 x 6"):
        run()


def test_classes_and_labels_must_agree(run: Run) -> None:
    with pytest.raises(UserError, match=r"ground_truth\.labels\.lamp is missing"):
        run(labels={"chair": (6,), "sofa": (3,)})
    with pytest.raises(UserError, match=r"ground_truth\.labels\.rug is no class"):
        run(labels={**LABELS, "rug": (1,)})


def test_predictions_of_several_runs_are_refused(run: Run) -> None:
    (first, *_) = run.predictions.iterdir()
    kept = first.read_bytes()
    run.write_predictions(("lamp", "sofa", "chair"))
    first.write_bytes(kept)
    with pytest.raises(UserError, match="predictions of several runs"):
        run()


def test_a_refusal_leaves_the_old_metrics(run: Run) -> None:
    run()
    before = run.output.read_bytes()
    (run.truth / "b.npy").unlink()
    with pytest.raises(UserError):
        run()
    assert run.output.read_bytes() == before


def test_images_that_thresholds_were_chosen_on_are_not_reported(run: Run) -> None:
    everything = run()
    (run.truth / "b.npy").unlink()  # not even read
    found = run(calibration=("b",))
    assert everything["images"] == 3
    assert found["images"] == 2
    assert everything["classes"]["chair"]["masks"] - found["classes"]["chair"]["masks"] == 4
    with pytest.raises(UserError, match="every image fits"):
        run(calibration=("*",))


def test_packed_label_maps_give_the_same(run: Run, tmp_path: Path) -> None:
    loose = run()
    pack_files.run(run.truth, tmp_path / "packed")
    assert run(folder=str(tmp_path / "packed")) == loose
    next((tmp_path / "packed").glob("*.zip")).unlink()
    with pytest.raises(UserError, match=r"has no ground truth: .*packed/.*\.npy is missing"):
        run(folder=str(tmp_path / "packed"))
