"""`dvc repro` from a fresh clone, and once more."""

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.pipeline.conftest import Made
from tests.support.workspace import ROOMS, STAGES, Workspace


def test_a_fresh_clone_runs_every_stage(made: Made) -> None:
    assert made.first.ran == STAGES
    assert made.first.skipped == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_closes_with_a_line(made: Made, name: str) -> None:
    lines = [line for line in made.first.output.splitlines() if line.startswith(f"{name}: ")]
    progress = [line for line in lines if re.search(r"image/s\]|s/image\]", line)]
    assert len(lines) - len(progress) == 1


def test_every_output_is_there(made: Made) -> None:
    folder = made.workspace.folder
    for store in ("masks.zarr", "predictions.zarr"):
        assert 1 <= len(list((folder / "data" / store).glob("*.zip"))) <= ROOMS
    for table in ("embeddings.parquet", "scores.parquet"):
        assert (folder / "data" / table).read_bytes()[:4] == b"PAR1"
    assert (
        json.loads((folder / "metrics/metrics.json").read_text())["images"] == ROOMS - 1
    )  # one calibrates
    panels = list((folder / "data/overlays").iterdir())
    assert len(panels) == made.workspace.params()["overlays"]["count"]
    for panel in panels:
        with Image.open(panel) as image:
            image.load()


def test_git_keeps_the_lock_and_the_metrics_and_nothing_else(made: Made) -> None:
    assert sorted(made.status.splitlines()) == ["?? dvc.lock", "?? metrics/"]


def test_a_second_run_does_nothing_and_says_so(made: Made) -> None:
    second = made.workspace.dvc("repro")
    assert second.ran == []
    assert second.skipped == STAGES
    assert second.output.splitlines()[-1] == "Data and pipelines are up to date."
    assert made.workspace.git("status", "--short") == ""


def test_dvc_shows_the_metrics(made: Made) -> None:
    shown = made.workspace.dvc("metrics", "show").output
    assert "classes.chair.mean_image_iou" in shown
    assert "iou_gap.threshold" in shown


def test_make_repro_says_that_nothing_changed_and_prints_the_metrics(workspace: Workspace) -> None:
    # As if this interpreter's environment were the installed one.
    workspace.path(".venv").mkdir()
    workspace.path(".venv/installed").touch()
    done = workspace.run("make", "repro", f"BIN={Path(sys.executable).parent}")
    assert done.code == 0, done.output
    assert "Data and pipelines are up to date." in done.output
    (row,) = (line.split() for line in done.output.splitlines() if line.startswith("chair "))
    metrics = json.loads(workspace.path("metrics/details.json").read_text())
    assert row[1] == f"{metrics['classes']['chair']['mean_image_iou']:.3f}"
