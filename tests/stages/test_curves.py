import csv
from pathlib import Path

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.evaluation.ground_truth import GroundTruth
from stages import curves
from tests.stages.scored import CALIBRATION, LABELS, Project
from tests.support.builders import NEUTRAL, random_stack, write_masks


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def run(project: Project, truth: GroundTruth | None = None) -> tuple[str, list[dict[str, str]]]:
    """The closing line and the rows of the IoU curve."""
    settings = curves.Params(
        ground_truth=truth or project.truth, calibration=CALIBRATION, selection=NEUTRAL
    )
    outputs = project.folder / "m" / "curves.csv", project.folder / "m" / "pr.csv"
    line = curves.run(project.masks, project.scores, *outputs, settings)
    with outputs[0].open(newline="") as file:
        return line, list(csv.DictReader(file))


def test_every_row_is_what_predicting_at_its_threshold_gives(project: Project) -> None:
    line, rows = run(project)
    assert line.startswith("curves: 2 images, 3 classes: ")
    assert list(rows[0]) == ["threshold", "all classes", "chair", "lamp"]
    assert len({row["chair"] for row in rows}) > 5
    for row in rows[::7]:
        for name in ("chair", "lamp"):
            ious = [project.iou(image, name, float(row["threshold"])) for image in ("a", "b")]
            assert float(row[name]) == pytest.approx(np.mean(ious), abs=1e-6)


def test_precision_and_recall_are_of_all_pixels(project: Project) -> None:
    run(project)
    with (project.folder / "m" / "pr.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[::9]:
        tp = predicted = true = 0
        for image in ("a", "b"):
            chosen = project.similarity[image][:, 0] > np.float32(row["threshold"])
            stack = np.unpackbits(project.groups[image].masks, axis=-1).astype(bool)
            found = stack[..., : project.groups[image].width][chosen].any(axis=0)
            tp += (found & project.true(image, "chair")).sum()
            predicted += found.sum()
            true += project.true(image, "chair").sum()
        assert float(row["chair recall"]) == pytest.approx(tp / true, abs=1e-6)
        expected = tp / predicted if predicted else 1.0
        assert float(row["chair precision"]) == pytest.approx(expected, abs=1e-6)


def test_without_ground_truth_there_is_no_row(project: Project) -> None:
    truth = project.truth.model_copy(update={"folder": project.folder / "nowhere"})
    line, rows = run(project, truth)
    assert (rows, line) == ([], f"curves: no ground truth in {truth.folder}, so none")


def test_what_does_not_fit_is_refused(project: Project) -> None:
    labels = {name: LABELS[name] for name in ("chair", "lamp")}
    with pytest.raises(UserError, match=r"ground_truth\.labels\.never is missing"):
        run(project, project.truth.model_copy(update={"labels": labels}))
    np.save(project.truth_folder / "a.npy", np.zeros((40, 24), int))
    with pytest.raises(UserError, match=r"a\.npy is 24 x 40 pixels and image 'a' 40 x 24"):
        run(project)


def test_scores_of_other_masks_are_refused(project: Project) -> None:
    rng = np.random.default_rng(9)
    stacks = {i: random_stack(rng, 9, g.height, g.width) for i, g in project.groups.items()}
    write_masks(project.masks, stacks)
    with pytest.raises(UserError, match="do not hold the same masks of image"):
        run(project)
