"""An edit reruns the stages that read what was edited, and no other."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.conftest import Made
from tests.support.builders import ROOT
from tests.support.workspace import ROOMS as IMAGES
from tests.support.workspace import STAGES, Workspace

DECLARED: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ROOMS = sorted(path.parent.name for path in (ROOT / "maskquery").glob("*/__init__.py"))
READERS = {
    room: {name for name in STAGES if f"maskquery/{room}" in DECLARED[name]["deps"]}
    for room in ROOMS
}
COMPUTING = ["masks", "embeddings"]  # the stages that run SAM and CLIP's image encoder


def edit(workspace: Workspace, *rooms: str) -> None:
    """Change a file of each room so that no result changes."""
    for room in rooms:
        with workspace.path(f"maskquery/{room}/__init__.py").open("a") as source:
            source.write("\n# An edit that changes no result.\n")


@pytest.fixture(scope="module")
def edited(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which tests edit code, and take it back."""
    return made.workspace.copy(tmp_path_factory.mktemp("edited") / "repository")


@pytest.mark.parametrize(
    "rooms",
    [*([room] for room in ROOMS if READERS[room]), [room for room in ROOMS if not READERS[room]]],
    ids=" ".join,
)
def test_an_edit_of_a_room_concerns_the_stages_that_declare_it(
    edited: Workspace, rooms: list[str]
) -> None:
    edit(edited, *rooms)
    changed = json.loads(edited.dvc("status", "--json").output)
    edited.git("checkout", "--", "maskquery")
    assert changed.keys() == set().union(*(READERS[room] for room in rooms))


def results(workspace: Workspace) -> dict[str, bytes]:
    """All files of the outputs."""
    folders = [workspace.path("data"), workspace.path("metrics")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(workspace.folder)): path.read_bytes() for path in paths}


def test_an_edit_of_scoring_selection_and_evaluation_runs_no_model_on_images(
    workspace: Workspace,
) -> None:
    before = results(workspace)
    edit(workspace, "scoring", "selection", "evaluation")
    done = workspace.dvc("repro")
    assert done.skipped == COMPUTING
    assert done.ran == [name for name in STAGES if name not in COMPUTING]
    assert results(workspace) == before


def test_an_edit_that_changes_no_prediction_runs_nothing_after_it(workspace: Workspace) -> None:
    edit(workspace, "selection")
    done = workspace.dvc("repro")
    assert done.ran == ["calibration", "predictions", "curves", "oracle", "prompts"]
    assert done.skipped == ["masks", "embeddings", "scores", "metrics", "overlays"]


def test_an_edit_of_core_takes_all_finished_work_from_the_cache(workspace: Workspace) -> None:
    before = results(workspace)
    edit(workspace, "core")
    done = workspace.dvc("repro")
    assert done.ran == STAGES
    for stage in COMPUTING:
        assert re.search(rf"^{stage}: .*; 0 images computed, {IMAGES} from", done.output, re.M)
    assert results(workspace) == before


def test_an_edit_of_a_prompt_runs_scores_and_what_follows(workspace: Workspace) -> None:
    embeddings = workspace.path("data/embeddings.parquet").stat().st_mtime_ns
    workspace.set_params({"classes.chair": ["a wooden chair", "a stool"]})
    done = workspace.dvc("repro")
    assert done.skipped[:2] == ["masks", "embeddings"]
    assert done.ran[:3] == ["scores", "calibration", "predictions"]
    assert workspace.path("data/embeddings.parquet").stat().st_mtime_ns == embeddings


def test_an_edit_of_labels_runs_what_reads_the_ground_truth(workspace: Workspace) -> None:
    workspace.set_params({"ground_truth.labels.chair": [6, 7]})
    # The thresholds may or may not come out the same.
    ran = workspace.dvc("repro").ran
    expected = ["calibration", "curves", "oracle", "prompts", "metrics", "overlays"]
    assert [name for name in ran if name != "predictions"] == expected


def test_what_was_made_before_is_not_made_again(workspace: Workspace) -> None:
    before = workspace.params()["threshold"]
    metrics = workspace.path("metrics/metrics.json").read_bytes()
    workspace.set_params({"threshold": 0.99})
    assert workspace.dvc("repro").ran == ["predictions", "metrics", "overlays"]
    workspace.set_params({"threshold": before})
    done = workspace.dvc("repro")
    # DVC remembers no run of a stage that has an output in git besides metrics and plots.
    assert done.ran == ["metrics"]
    assert done.output.count("is cached - skipping run, checking out outputs") == 2
    assert workspace.path("metrics/metrics.json").read_bytes() == metrics


def test_a_removed_image_leaves_no_trace(workspace: Workspace) -> None:
    first = min(workspace.path("data/rooms/images").iterdir())
    first.unlink()
    workspace.path(f"data/rooms/render_semantic_npy/{first.stem}.npy").unlink()
    workspace.dvc("repro")
    for folder in ("masks.zarr", "predictions.zarr"):
        files = workspace.path(f"data/{folder}").glob("*.zip")
        assert not any(first.stem.encode() in file.read_bytes() for file in files)
    for table in ("embeddings.parquet", "scores.parquet"):
        assert first.stem.encode() not in workspace.path(f"data/{table}").read_bytes()
    assert not list(workspace.path("data/overlays").glob(f"{first.stem}*"))


def test_a_clone_without_data_tells_whether_everything_was_rerun(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Workspace(tmp_path / "clone")
    assert not clone.path("data/masks.zarr").exists()
    assert clone.dvc("repro", "--dry", "--allow-missing").skipped == STAGES
    clone.set_params({"threshold": 0.99})
    done = clone.try_dvc("repro", "--dry", "--allow-missing")
    assert done.code != 0
    assert "failed to reproduce 'predictions'" in done.output
