import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.clip import job
from maskquery.core.errors import UserError
from maskquery.evaluation import oracles as library
from maskquery.jobs import cache
from maskquery.masks.packed import pack
from maskquery.tables import score_table
from stages import oracle
from tests.stages.scored import CALIBRATION, SIZES, Project
from tests.support.builders import NEUTRAL


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def run(project: Project, **changes: Any) -> dict[str, dict[str, float]]:
    values = {
        "images": str(project.images),
        "ground_truth": project.truth.model_dump(mode="python")
        | {"folder": str(project.truth_folder)},
        "calibration": CALIBRATION,
        "selection": NEUTRAL,
    }
    settings = oracle.Params.model_validate(values | changes)
    oracle.run(project.masks, project.scores, project.folder / "oracle.json", settings)
    found: dict[str, dict[str, float]] = json.loads((project.folder / "oracle.json").read_text())[
        "classes"
    ]
    return found


def test_oracle_labels_are_the_best_unions_and_the_best_threshold_is_among_them(
    project: Project,
) -> None:
    found = run(project)
    for name in ("chair", "lamp"):
        unions = [
            library.best_union(project.groups[image].masks, pack(project.true(image, name)))
            for image in ("a", "b")
        ]
        assert found[name]["labels"] == pytest.approx(np.mean(unions), abs=1e-6)
        grid = [
            np.mean([project.iou(image, name, t) for image in ("a", "b")])
            for t in np.linspace(-1, 1, 401)
        ]
        assert max(grid) - 1e-6 <= found[name]["threshold"] <= found[name]["labels"]
    assert found["never"] == {}


def test_auroc_is_of_the_best_masks_scores(project: Project) -> None:
    np.save(project.truth_folder / "b.npy", np.zeros(SIZES["b"], int))
    found = run(project)
    table = score_table.read(project.scores)
    best = [
        table.of(image, project.groups[image].ids, project.masks)[:, 0].max()
        for image in ("a", "b")
    ]
    assert found["chair"]["auroc"] == float(best[0] > best[1])
    assert "auroc" not in found["never"]


def test_oracle_masks_are_the_objects_of_the_ground_truth(project: Project) -> None:
    # The stand-in sees chairs and lamps as they are, and takes boxes for 0.6 of a chair.
    found = run(project)
    assert found["chair"]["masks"] == 1.0
    assert found["lamp"]["masks"] == 1.0


def test_a_confused_model_costs_labels(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def confused(*arguments: Any) -> Any:
        vectors = np.zeros((len(arguments[1].ids), 1, 4), np.float32)
        vectors[..., 0] = 1.0  # everything is a chair
        return vectors

    monkeypatch.setattr(job, "load", lambda _model, _tier: confused)
    found = run(project)
    shares = [
        project.true(image, "chair").sum() / project.labels[image].size for image in ("a", "b")
    ]
    assert found["chair"]["masks"] == pytest.approx(np.mean(shares), abs=1e-6)
    # No object is more of a lamp than another: all or none.
    assert found["lamp"]["masks"] < 0.2


def test_images_are_looked_at_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(project)
    monkeypatch.setattr(job, "load", lambda _model, _tier: pytest.fail("the cells were not used"))
    assert run(project) == first
    assert list((cache.root() / "outputs").iterdir())


def test_without_a_calibration_part_the_test_part_has_to_do(project: Project) -> None:
    assert run(project, calibration=())["chair"]["masks"] == 1.0


def test_without_ground_truth_there_are_only_names(project: Project) -> None:
    truth = project.section(folder=str(project.folder / "nowhere"))
    assert run(project, ground_truth=truth) == {"chair": {}, "lamp": {}, "never": {}}


def test_another_image_than_that_of_the_masks_is_refused(project: Project) -> None:
    (project.images / "a.png").write_bytes((project.images / "cal-1.png").read_bytes())
    with pytest.raises(UserError, match=r"a\.png is not the image that its masks are of"):
        run(project)
