"""What `maskquery check` tells before a run."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from maskquery.checking import command
from maskquery.checking.project import problems
from maskquery.core.errors import UserError
from tests.support.builders import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's params, and two images with label maps; a pipeline that ran."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    change(images="images", calibration=["b*"])
    change("ground_truth", folder="labels")
    for name in "ab":
        Image.new("RGB", (6, 4)).save(f"images/{name}.png")
        np.save(f"labels/{name}.npy", np.zeros((4, 6), np.uint8))
    return tmp_path


def change(section: str = "", **values: Any) -> None:
    yaml = YAML()
    tree = yaml.load(Path("params.yaml"))
    (tree[section] if section else tree).update(values)
    yaml.dump(tree, Path("params.yaml"))


def test_a_sound_project() -> None:
    assert command.main([]) == "check: params, images and ground truth fit"


@pytest.mark.parametrize(
    ("section", "values", "problem"),
    [
        ("", {"threshold": 2}, "threshold is 2; it must be less than or equal to 1"),
        ("sam", {"model": "huge"}, "sam.model is 'huge'; it must be one of"),
        ("overlays", {"class": "throne"}, "overlays.class is 'throne'; it must be one of chair"),
        ("", {"calibration": ["*"]}, r"every image fits \['\*'\]"),
        ("", {"images": "none"}, "none is not a folder"),
        ("ground_truth", {"pattern": "{image}.png"}, "image 'a' has no ground truth"),
        ("ground_truth", {"labels": {"chair": [1]}}, "ground_truth.labels.table is missing"),
        ("", {"classes": {"threshold": ["a sill"]}}, "classes.threshold: 'threshold' is the name"),
        ("", {"classes": {"chair": ["a chair " * 40]}}, "classes.chair: the prompt 'a chair a"),
        ("scores", {"temperature": 1e-320}, "scores.temperature"),
        ("scores", {"view_weights": {"crop": 1}}, "scores.view_weights names crop"),
    ],
)
def test_params_that_do_not_fit(section: str, values: dict[str, Any], problem: str) -> None:
    change(section, **values)
    assert any(re.search(problem, line) for line in problems())
    with pytest.raises(UserError):
        command.main([])


def test_all_problems_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    change("overlays", **{"class": "throne"})
    Path("labels/b.npy").unlink()
    with pytest.raises(UserError, match="image 'b' has no ground truth"):
        command.main([])
    assert "error: params.yaml: overlays.class is 'throne'" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_what_dvc_would_wait_for(folder: str) -> None:
    os.mkfifo(f"{folder}/c.png")
    with pytest.raises(UserError, match=f"{folder}/c.png is not a file, but a pipe"):
        command.main([])


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_a_label_map_of_another_size(kind: str) -> None:
    change("ground_truth", pattern="{image}." + kind)
    for name, shape in (("a", (4, 6)), ("b", (4, 7))):
        labels = np.zeros(shape, np.uint8)
        np.save(f"labels/{name}.npy", labels)
        Image.fromarray(labels).save(f"labels/{name}.png")
    with pytest.raises(UserError, match=f"labels/b.{kind} is 7 x 4 pixels and image 'b' 6 x 4"):
        command.main([])


def test_an_image_that_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 6)).save("images/a.png", exif=exif)
    command.main([])


def git(*arguments: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("size", [10, 1000, 2011])
def test_a_dvc_lock_that_was_cut_off_is_mended(project: Path, size: int) -> None:
    git("init")
    git("add", "dvc.lock")
    git("commit", "-m", "run")
    whole = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(whole[:size] + b"\n  oops: [")
    with pytest.raises(UserError, match=r"dvc\.lock is damaged"):
        command.main([])
    command.main(["--mend"])
    assert Path("dvc.lock").read_bytes() == whole
    (aside,) = project.glob("dvc.lock.damaged-*")
    assert aside.read_bytes() == whole[:size] + b"\n  oops: ["
    command.main(["--mend"])
    assert len(list(project.glob("dvc.lock*"))) == 2


def test_without_a_commit_nobody_knows_a_whole_dvc_lock() -> None:
    Path("dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match="no commit has a whole one: remove it"):
        command.main(["--mend"])
