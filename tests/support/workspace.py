"""A copy of this repository in which the real pipeline runs, small enough to take seconds."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import environment
from tests.support.builders import ROOT

# What the tests do not need, and results, which are to be made.
LEFT_OUT = ("tests/", "benchmarks/", "docs/", "data/rooms/", "metrics/", "dvc.lock")
ROOMS = 3

# A coarse grid without crops, and thresholds that let masks of any model pass. (The golden test has
# the grid and the crops of params.yaml.)
SMALL = {
    "sam.points_per_side": 5,
    "sam.crop_n_layers": 0,
    "sam.pred_iou_thresh": 0.2,
    "sam.stability_score_thresh": 0.3,
    "sam.min_mask_region_area": 0,
    "threshold": 0.1,
    "calibration": ["room-001"],
    "selection.duplicate_iou": 1.0,
    "selection.exclusive": "none",
    "overlays.count": 2,
    "overlays.order": "name",
}

STAGES = [
    "masks", "embeddings", "scores", "calibration", "predictions", "curves", "oracle", "prompts",
    "metrics", "overlays",
]  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and everything it printed."""

    code: int
    output: str

    @property
    def ran(self) -> list[str]:
        """The stages that DVC ran, in order."""
        return re.findall(r"^Running stage '(\w+)'", self.output, re.MULTILINE)

    @property
    def skipped(self) -> list[str]:
        """The stages that had not changed, in order."""
        return re.findall(r"^Stage '(\w+)' didn't change, skipping", self.output, re.MULTILINE)


class Workspace:
    """A repository of git and DVC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Workspace":
        """The repository as a clone has it, with a few of its rooms only, and not run yet."""
        rooms = sorted((ROOT / "data/rooms/images").iterdir())[:ROOMS]
        files = [name for name in tracked() if not name.startswith(LEFT_OUT)]
        files += [f"data/rooms/images/{room.name}" for room in rooms]
        files += [f"data/rooms/render_semantic_npy/{room.stem}.npy" for room in rooms]
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        workspace = cls(folder)
        workspace.set_params(SMALL)
        workspace.git("init", "--quiet", "--initial-branch=main")
        workspace.git("config", "user.name", "Test")
        workspace.git("config", "user.email", "test@example.org")
        workspace.commit()
        return workspace

    def copy(self, folder: Path) -> "Workspace":
        """An independent copy, results and caches included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

    def path(self, name: str) -> Path:
        """A path in the workspace."""
        return self.folder / name

    def run(self, *command: str) -> Done:
        """Run a command, whatever comes of it."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment.plain()
            | environment.versioned(self.folder)
            | {"MASKQUERY_DEVICE": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def try_dvc(self, *arguments: str) -> Done:
        """Run DVC, whatever comes of it."""
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def dvc(self, *arguments: str) -> Done:
        """Run DVC, which must succeed."""
        done = self.try_dvc(*arguments)
        assert done.code == 0, done.output
        return done

    def git(self, *arguments: str) -> str:
        """Run git, which must succeed; what it printed."""
        done = self.run("git", *arguments)
        assert done.code == 0, done.output
        return done.output

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state")

    def params(self) -> dict[str, Any]:
        """What params.yaml holds."""
        content: dict[str, Any] = yaml.safe_load(self.path("params.yaml").read_text())
        return content

    def set_params(self, changes: dict[str, Any]) -> None:
        """Set keys of params.yaml, dotted."""
        content = self.params()
        for key, value in changes.items():
            *sections, last = key.split(".")
            section = content
            for name in sections:
                section = section[name]
            section[last] = value
        self.path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def tracked() -> Iterator[str]:
    """The files of this repository that git has or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return (name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file())
