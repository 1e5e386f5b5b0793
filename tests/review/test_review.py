"""The review of a real pair of commits, in the folder that made them and in a fresh clone."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository whose branch `change` has another threshold than `main`, both run."""
    workspace = Workspace.create(tmp_path_factory.mktemp("review") / "repository")
    workspace.set_params({"threshold": 0.2, "review.tolerance": {"mean_image_iou": 1.0}})
    workspace.dvc("repro")
    workspace.commit()
    workspace.git("switch", "--quiet", "--create", "change")
    workspace.set_params({"threshold": 0.5})
    workspace.dvc("repro")
    workspace.commit()
    return workspace


def review(workspace: Workspace, base: str) -> tuple[int, str, str]:
    """Exit code, what was printed, and the comment."""
    done = workspace.run(sys.executable, "-m", "maskquery", "review", base)
    comment = workspace.path(".cache/review/comment.md")
    return done.code, done.output, comment.read_text() if comment.exists() else ""


def clone(workspace: Workspace, folder: Path) -> Workspace:
    """What a colleague gets: no data, no cache."""
    command = ["git", "clone", "--quiet", "--branch", "change", workspace.folder, folder]
    subprocess.run(command, check=True, capture_output=True)
    copy = Workspace(folder)
    copy.git("branch", "main", "origin/main")
    copy.git("config", "user.email", "test@example.org")
    copy.git("config", "user.name", "Test")
    assert not copy.path("data/predictions.zarr").exists()
    return copy


def forgive(workspace: Workspace, tolerance: float) -> None:
    names = workspace.params()["review"]["tolerance"]
    workspace.set_params({"review.tolerance": dict.fromkeys(names, tolerance)})


def test_a_fresh_clone_without_data_shows_figures_and_params(
    changed: Workspace, tmp_path: Path
) -> None:
    copy = clone(changed, tmp_path / "clone")
    forgive(copy, 1.0)
    code, output, comment = review(copy, "main")
    assert code == 0, output
    assert "| metrics/metrics.json |" in " ".join(comment.split())
    assert "| params.yaml | threshold | 0.2" in " ".join(comment.split())
    assert "No panels: data/predictions.zarr is not here" in comment


def test_with_the_data_the_images_that_changed_are_drawn(changed: Workspace) -> None:
    _, output, comment = review(changed, "main")
    panels = list(changed.path(".cache/review").glob("*.jpg"))
    assert panels, output
    assert all(f"`{path.name}`" in comment for path in panels)
    assert all(path.stat().st_size > 10_000 for path in panels)


def test_an_edit_without_a_rerun_is_refused(changed: Workspace, tmp_path: Path) -> None:
    copy = clone(changed, tmp_path / "clone")
    forgive(copy, 1.0)
    copy.set_params({"threshold": 0.3})
    code, output, comment = review(copy, "main")
    assert code == 1
    assert "predictions" in output
    assert "edited without a rerun: run `dvc repro`" in output
    assert "Not to be merged" in comment
    assert "Traceback" not in output


def test_data_of_another_revision_are_told_from_an_edit(changed: Workspace) -> None:
    changed.git("switch", "--quiet", "main")
    try:
        code, output, _ = review(changed, "change")
        assert code == 1
        assert "the workspace's data are of another revision: run `dvc checkout`" in output
        assert "edited without a rerun" not in output
    finally:
        changed.git("switch", "--quiet", "change")


def test_a_drop_beyond_its_tolerance_is_refused(changed: Workspace, tmp_path: Path) -> None:
    copy = clone(changed, tmp_path / "clone")
    forgive(copy, 0.0)
    forth, back = review(copy, "main"), None
    copy.git("checkout", "--quiet", "--force", "-b", "back", "change")
    copy.git("checkout", "--quiet", "main", "--", ".")
    copy.commit()
    forgive(copy, 0.0)
    back = review(copy, "change")
    # The figures differ, so one of the two directions is a drop.
    assert sorted([forth[0], back[0]]) in ([0, 1], [1, 1])
    worse = forth if forth[0] else back
    assert "worse: " in worse[1]
    assert "(tolerance 0)" in worse[1]


def test_an_unknown_revision_and_an_unknown_figure_are_named(
    changed: Workspace, tmp_path: Path
) -> None:
    copy = clone(changed, tmp_path / "clone")
    code, output, _ = review(copy, "--help-me")
    assert code != 0
    code, output, _ = review(copy, "nowhere")
    assert code == 1
    assert "git knows no revision 'nowhere'" in output
    copy.set_params({"review.tolerance": {"mean_image_oui": 0.1}})
    code, output, _ = review(copy, "main")
    assert code == 1
    assert "review.tolerance names mean_image_oui" in output
