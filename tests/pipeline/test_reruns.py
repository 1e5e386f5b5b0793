"""An edit reruns the stages that read what was edited, and no other."""

from pathlib import Path

from tests.support.workspace import STAGES, Workspace


def test_an_edit_of_the_scoring_code_runs_no_model(workspace: Workspace) -> None:
    with workspace.path("maskquery/selection/thresholds.py").open("a") as source:
        source.write("\n# An edit that changes no result.\n")
    done = workspace.dvc("repro")
    # Predictions came out the same, so nothing after them was needed.
    assert done.ran == ["predictions"]
    assert done.skipped == [name for name in STAGES if name != "predictions"]


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
    expected = ["calibration", "curves", "ceilings", "prompts", "metrics", "overlays"]
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
