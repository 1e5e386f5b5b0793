import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import calibration, prompts
from tests.stages.scored import CALIBRATION, Project, iou, union
from tests.support.builders import NEUTRAL


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def run(
    project: Project,
    detailed: dict[str, tuple[str, ...]],
    cost: float = 0.0,
    shrinkage: float = 0.0,
    **truth: Any,
) -> dict[str, Any]:
    settings = prompts.Params.model_validate(
        {
            "ground_truth": project.section(**truth),
            "calibration": CALIBRATION,
            "selection": NEUTRAL,
            "false_positive_cost": cost,
            "threshold_shrinkage": shrinkage,
            "detailed_prompts": detailed,
        }
    )
    output = project.folder / "prompts.json"
    project.line = prompts.run(project.masks, project.embeddings, project.scores, output, settings)
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def best_on_calibration(project: Project, column: int) -> float:
    """The mean IoU of chairs on the test split at the threshold that is best on the other."""
    scores = {image: vectors[:, 0, column] for image, vectors in project.vectors.items()}

    def mean(images: tuple[str, ...], threshold: float) -> float:
        return float(
            np.mean(
                [
                    iou(
                        union(project.groups[i], scores[i] > np.float32(threshold)),
                        project.true(i, "chair"),
                    )
                    for i in images
                ]
            )
        )

    grid = np.linspace(-1, 1, 2001)
    threshold = max(grid, key=lambda t: mean(("cal-1", "cal-2"), t))
    return mean(("a", "b"), threshold)


def test_both_sides_are_measured_at_thresholds_of_the_calibration_part(project: Project) -> None:
    found = run(project, {"chair": ("a chair with legs",)})
    assert found["classes"].keys() == {"chair"}
    chair = found["classes"]["chair"]
    assert chair["generic"]["mean_image_iou"] == pytest.approx(
        best_on_calibration(project, 0), abs=1e-6
    )
    assert chair["detailed"]["mean_image_iou"] == pytest.approx(
        best_on_calibration(project, 3), abs=1e-6
    )
    assert chair["generic"]["threshold"] != chair["detailed"]["threshold"]
    assert found["overall"]["detailed"]["mean_image_iou"] == chair["detailed"]["mean_image_iou"]


def test_thresholds_are_calibrated_as_those_of_the_pipeline_are(project: Project) -> None:
    settings = calibration.Params.model_validate(
        {
            "ground_truth": project.section(),
            "calibration": CALIBRATION,
            "selection": NEUTRAL,
            "false_positive_cost": 0.7,
            "threshold_shrinkage": 0.5,
        }
    )
    path = project.folder / "thresholds.json"
    calibration.run(project.masks, project.scores, path, settings)
    wanted = json.loads(path.read_text())["classes"]
    found = run(project, {"chair": ("a chair",), "lamp": ("a lamp",)}, 0.7, 0.5)["classes"]
    for name, own in found.items():
        assert own["generic"]["threshold"] == pytest.approx(wanted[name], abs=1e-6)
    plain = run(project, {"chair": ("a chair",)})["classes"]["chair"]["generic"]["threshold"]
    assert plain != pytest.approx(wanted["chair"], abs=1e-3)


def test_without_a_calibration_part_the_test_part_has_to_do(project: Project) -> None:
    for image in ("cal-1", "cal-2"):
        labels = np.zeros_like(project.labels[image])
        np.save(project.truth_folder / f"{image}.npy", labels)
    chair = run(project, {"chair": ("a chair",)})["classes"]["chair"]["generic"]
    best = max(
        np.mean([project.iou(image, "chair", t) for image in ("a", "b")])
        for t in np.linspace(-1, 1, 2001)
    )
    assert chair["mean_image_iou"] == pytest.approx(best, abs=1e-6)


def test_the_same_prompts_make_no_difference(project: Project) -> None:
    found = run(project, {"chair": ("a chair",), "lamp": ("a lamp",)})
    assert found["overall"]["generic"] == found["overall"]["detailed"]


def test_false_alarms_are_images_without_the_class_and_with_a_mask(project: Project) -> None:
    labels = np.where(project.labels["b"] == 6, 0, project.labels["b"])
    np.save(project.truth_folder / "b.npy", labels)
    chair = run(project, {"chair": ("a chair",)})["classes"]["chair"]["generic"]
    highest = project.similarity["b"][:, 0].max()
    assert chair["false_positive_images"] == (highest > chair["threshold"])


def test_nothing_to_compare_is_an_empty_file(project: Project) -> None:
    assert run(project, {}) == {}
    assert run(project, {"never": ("a chair",)}) == {}
    assert run(project, {"chair": ("a chair",)}, folder=str(project.folder / "nowhere")) == {}


def test_a_class_that_is_none_is_left_out_and_said_to_be(project: Project) -> None:
    found = run(project, {"rug": ("a rug",), "chair": ("a chair with legs",)})
    assert found["classes"].keys() == {"chair"}
    assert project.line.endswith("; detailed_prompts of no class left out: rug")
