import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import prompts
from tests.builders import NEUTRAL
from tests.stages.scored import CALIBRATION, Project, iou, union


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def run(project: Project, detailed: dict[str, tuple[str, ...]], **truth: Any) -> dict[str, Any]:
    settings = prompts.Params.model_validate(
        {
            "ground_truth": project.section(**truth),
            "calibration": CALIBRATION,
            "selection": NEUTRAL,
            "detailed_prompts": detailed,
        }
    )
    output = project.folder / "prompts.json"
    project.line = prompts.run(project.masks, project.embeddings, project.scores, output, settings)
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def best_on_calibration(project: Project, column: int) -> float:
    """The mean IoU of chairs on the test part at the threshold that is best on the other."""
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


def test_the_same_prompts_make_no_difference(project: Project) -> None:
    found = run(project, {"chair": ("a chair",), "lamp": ("a lamp",)})
    assert found["overall"]["generic"] == found["overall"]["detailed"]


def test_false_alarms_are_images_without_the_class_and_with_a_mask(project: Project) -> None:
    labels = np.where(project.labels["b"] == 6, 0, project.labels["b"])
    np.save(project.truth_folder / "b.npy", labels)
    chair = run(project, {"chair": ("a chair",)})["classes"]["chair"]["generic"]
    highest = project.similarity["b"][:, 0].max()
    assert chair["false_alarm_images"] == (highest > chair["threshold"])


def test_nothing_to_compare_is_an_empty_file(project: Project) -> None:
    assert run(project, {}) == {}
    assert run(project, {"never": ("a chair",)}) == {}
    assert run(project, {"chair": ("a chair",)}, folder=str(project.folder / "nowhere")) == {}


def test_a_class_that_is_none_is_left_out_and_said_to_be(project: Project) -> None:
    found = run(project, {"rug": ("a rug",), "chair": ("a chair with legs",)})
    assert found["classes"].keys() == {"chair"}
    assert project.line.endswith("; detailed_prompts of no class left out: rug")
