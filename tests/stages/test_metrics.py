import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.formats import pack as pack_files
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, pack
from stages import metrics
from tests.support.builders import Bools

LABELS = {"chair": (6, 7), "sofa": (3,), "lamp": (9,)}
ORACLE: dict[str, dict[str, float]] = {
    "chair": {"labels": 0.9, "masks": 0.8, "threshold": 0.7},
    "sofa": {"labels": 0.8, "threshold": 0.5},
    "lamp": {},
}
SIZES = {"a": (9, 13), "b": (6, 24), "scan/c": (5, 5)}


class Run:
    """A folder with inputs, and the stage's run on it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.predictions, self.output = folder / "predictions.zarr", folder / "m" / "metrics.json"
        self.details, self.table = folder / "m" / "details.json", folder / "m" / "images.csv"
        self.confusion = folder / "m" / "confusion.csv"
        self.oracle = folder / "oracle.json"
        self.oracle.write_text(json.dumps({"classes": ORACLE}))
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
            ImagePredictions(
                image,
                *SIZES[image],
                classes,
                pack(self.planes[image]),
                mask_count=10,
                chosen=(4, 0, 1),
                ids=np.arange(5, dtype=np.uint64),
                scores=np.zeros(5, np.float32),
            )
            for image in mask_store.shard_order(self.planes)
        ]
        mask_store.PredictionStore.write(self.predictions, groups)

    def __call__(self, *, calibration: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
        section = {"folder": str(self.truth), "pattern": "{image}.npy", "palette": {}, "ignore": ()}
        truth = GroundTruth.model_validate({**section, "labels": LABELS, **changes})
        settings = metrics.Params(ground_truth=truth, calibration=calibration)
        outputs = metrics.Outputs(self.output, self.details, self.table, self.confusion)
        self.line = metrics.run(self.predictions, self.oracle, outputs, settings)
        self.short: dict[str, Any] = json.loads(self.output.read_text())
        found: dict[str, Any] = json.loads(self.details.read_text())
        return found

    def rows(self) -> list[dict[str, str]]:
        with self.table.open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def slow_figures(run: Run, index: int, labels: tuple[int, ...]) -> dict[str, float]:
    """The figures of a class, pixel by pixel."""
    ious, total, images = [], {"tp": 0, "fp": 0, "fn": 0}, 0
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
            images += fp > 0
        total = {"tp": total["tp"] + tp, "fp": total["fp"] + fp, "fn": total["fn"] + fn}
    figures = {
        "images_with_class": len(ious),
        "images_without_class": len(SIZES) - len(ious),
        "false_positive_images": images,
        "pooled_iou": total["tp"] / sum(total.values()),
        "precision": total["tp"] / (total["tp"] + total["fp"]),
        "f1": 2 * total["tp"] / (sum(total.values()) + total["tp"]),
    }
    if ious:
        figures["mean_image_iou"] = sum(ious) / len(ious)
        figures["recall"] = total["tp"] / (total["tp"] + total["fn"])
    return figures


def test_figures_are_what_counting_pixels_gives(run: Run) -> None:
    found = run()
    assert (run.short["images"], run.short["masks"]) == (3, 30)
    for index, (name, labels) in enumerate(LABELS.items()):
        figures = found["classes"][name]
        assert figures.pop("masks") == [12, 0, 3][index]
        expected = slow_figures(run, index, labels)
        assert {key: figures.get(key) for key in expected} == pytest.approx(expected, abs=1e-6)
    means = [found["classes"][name]["mean_image_iou"] for name in ("chair", "sofa")]
    assert found["overall"]["mean_image_iou"] == pytest.approx(sum(means) / 2, abs=1e-6)


def test_the_short_file_repeats_the_first_figures_of_the_long_one(run: Run) -> None:
    found = run()
    assert run.short["mean_image_iou"] == found["overall"]["mean_image_iou"]
    assert run.short["iou_gap"] == found["overall"]["iou_gap"]
    chair = {
        key: found["classes"]["chair"][key] for key in ("mean_image_iou", "false_positive_images")
    }
    assert run.short["classes"] == {"chair": chair}


def test_the_gap_to_1_is_attributed(run: Run) -> None:
    found = run()["classes"]
    gap = {
        "segmentation": 0.1,
        "classification": 0.2,
        "threshold": 0.7 - found["chair"]["mean_image_iou"],
    }
    assert found["chair"]["iou_gap"] == pytest.approx(gap, abs=2e-6)
    assert "iou_gap" not in found["lamp"]


@pytest.mark.parametrize("content", [None, "{", '{"classes": {"chair": {}}}', "[]"])
def test_oracles_that_do_not_fit_are_refused(run: Run, content: str | None) -> None:
    run.oracle.unlink()
    if content is not None:
        run.oracle.write_text(content)
    with pytest.raises(UserError, match=r"oracle\.json is missing, damaged or of other classes"):
        run()


def test_the_baselines_stand_beside_them(run: Run) -> None:
    found = run()["baselines"]
    shares = [np.isin(labels, LABELS["chair"]).mean() for labels in run.labels.values()]
    assert found["predict_all"]["chair"] == pytest.approx(np.mean(shares), abs=1e-6)
    assert found["predict_all"].keys() == {"chair", "sofa"}
    assert found["predict_none"] == {"chair": 0.0, "sofa": 0.0}


def test_a_class_that_no_image_shows_is_left_out_and_said_to_be(run: Run) -> None:
    found = run()
    assert "mean_image_iou" not in found["classes"]["lamp"]
    assert found["classes"]["lamp"]["false_positive_images"] == 3
    assert "; no image shows lamp: left out" in run.line
    assert re.search(r"; labels of no class: 0 \(\d+\.\d %\)$", run.line)
    assert f"chair {found['classes']['chair']['mean_image_iou']:.4f}" in run.line


def test_ground_truth_that_shows_none_of_the_classes_is_not_taken_for_none(run: Run) -> None:
    found = run(labels={"chair": (100,), "sofa": (101,), "lamp": (102,)})
    assert "mean_image_iou" not in found["overall"]
    assert "baselines" not in found
    assert {figures["images_without_class"] for figures in found["classes"].values()} == {3}
    assert ": none; no image shows chair, sofa, lamp: left out; labels of no class: 6 (" in run.line


def test_the_files_are_the_same_every_time(run: Run) -> None:
    run()
    files = (run.output, run.details, run.table, run.confusion)
    first = [path.read_bytes() for path in files]
    assert first[0].endswith(b"}\n")
    run()
    assert [path.read_bytes() for path in files] == first


def test_without_ground_truth_only_images_and_masks_are_counted(run: Run) -> None:
    found = run(folder=str(run.truth.parent / "nowhere"))
    assert run.short == {"images": 3, "masks": 30}
    assert found == {
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
    with mask_store.PredictionStore(run.predictions) as store:
        first, *others = map(store.read, mask_store.shard_order(store.images()))
    mixed = [replace(first, classes=("lamp", "sofa", "chair")), *others]
    mask_store.PredictionStore.write(run.predictions, mixed)
    with pytest.raises(UserError, match="predictions of several runs"):
        run()


def test_a_file_of_another_run_is_refused(run: Run) -> None:
    first = min(run.predictions.glob("*.zip"))
    kept = first.read_bytes()
    run.write_predictions(("lamp", "sofa", "chair"))
    first.write_bytes(kept)
    with pytest.raises(UserError, match=f"{first.name} cannot be read .*other contents"):
        run()


def test_a_missing_file_is_not_just_fewer_images(run: Run) -> None:
    first = min(run.predictions.glob("*.zip"))
    first.unlink()
    with pytest.raises(UserError, match=f"{first.name} is missing: run `dvc repro`"):
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
    assert run.short["images"] == 2
    assert everything["classes"]["chair"]["masks"] - found["classes"]["chair"]["masks"] == 4
    with pytest.raises(UserError, match="every image fits"):
        run(calibration=("*",))


def test_the_table_holds_the_pixels_of_each_image_and_class(run: Run) -> None:
    run()
    found = {(row["image"], row["class"]): row for row in run.rows()}
    assert list(found) == [
        ("a", "chair"), ("a", "sofa"), ("a", "lamp"),
        ("b", "chair"), ("b", "sofa"), ("b", "lamp"),
        ("scan/c", "chair"), ("scan/c", "sofa"), ("scan/c", "lamp"),
    ]  # fmt: skip
    for (image, name), row in found.items():
        predicted = run.planes[image][list(LABELS).index(name)]
        true = np.isin(run.labels[image], LABELS[name])
        tp, fn = (predicted & true).sum(), (true & ~predicted).sum()
        pixels = [int(row[key]) for key in ("tp", "fp", "fn")]
        assert pixels == [tp, (predicted & ~true).sum(), fn]
        if true.any():
            assert float(row["iou"]) == pytest.approx(tp / sum(pixels), abs=1e-6)
        else:
            assert row["iou"] == ""
    assert [found["scan/c", "sofa"]["iou"], found["b", "sofa"]["iou"]] == ["", "0.0"]


def test_neither_true_nor_predicted_is_no_row(run: Run) -> None:
    run.planes["scan/c"][1] = False
    run.write_predictions(tuple(LABELS))
    run()
    assert ("scan/c", "sofa") not in [(row["image"], row["class"]) for row in run.rows()]


def test_the_means_are_those_of_the_table(run: Run) -> None:
    found = run()
    ious = [float(row["iou"]) for row in run.rows() if row["class"] == "chair" and row["iou"]]
    assert found["classes"]["chair"]["mean_image_iou"] == pytest.approx(np.mean(ious), abs=1e-6)


def test_the_confusion_counts_every_pixel_that_is_not_void(run: Run) -> None:
    found = run(ignore=(0,))["overall"]
    with run.confusion.open(newline="") as file:
        rows = list(csv.DictReader(file))
    pixels = sum(int(row["pixels"]) for row in rows)
    assert pixels == sum((labels != 0).sum() for labels in run.labels.values())
    right = sum(int(row["pixels"]) for row in rows if row["true"] == row["predicted"])
    assert found["pixel_accuracy"] == pytest.approx(right / pixels, abs=1e-6)
    assert run.short["miou"] == found["miou"] > 0
    assert {row["true"] for row in rows} == {"chair", "sofa"}


def test_classes_that_share_a_label_have_no_confusion(run: Run) -> None:
    found = run(labels={**LABELS, "sofa": (3, 6)})
    assert "miou" not in found["overall"]
    assert run.confusion.read_text() == "true,predicted,pixels\n"
    assert "; classes share labels, so no miou" in run.line


def test_without_ground_truth_the_table_has_no_row(run: Run) -> None:
    run(folder=str(run.truth.parent / "nowhere"))
    assert run.table.read_text() == "image,class,iou,tp,fp,fn\n"
    assert run.confusion.read_text() == "true,predicted,pixels\n"


def test_packed_label_maps_give_the_same(run: Run, tmp_path: Path) -> None:
    loose = run()
    pack_files.run(run.truth, tmp_path / "packed")
    assert run(folder=str(tmp_path / "packed")) == loose
    next((tmp_path / "packed").glob("*.zip")).unlink()
    with pytest.raises(UserError, match=r"has no ground truth: .*packed/.*\.npy is missing"):
        run(folder=str(tmp_path / "packed"))
