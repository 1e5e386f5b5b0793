"""The pipeline as a user runs it: all of it once, and an experiment with another threshold.

In a copy of this repository, with its rooms. An experiment is compared with DVC's own time: the
same stages, with commands that write one line and no more.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks import scenes
from benchmarks.measuring import Row, in_turn, seconds

LEFT_OUT = (".git", ".venv", ".cache", ".dvc", "__pycache__", ".hypothesis", "tests", "dvc.lock")
REPEATS = 5


def measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        real, idle = Repository(Path(name) / "real"), Repository(Path(name) / "idle")
        idle.do_nothing()
        whole = seconds(lambda: real.dvc("repro"))
        images = len(scenes.rooms())
        yield Row(
            f"dvc repro, nothing there yet, {images} rooms",
            "-",
            f"{whole:.0f} s",
            "2 minutes",
            {"seconds": round(whole, 1)},
        )
        idle.dvc("repro")
        yield another_threshold(real, idle, images)
        for repository in (real, idle):
            repository.leave_out_every_second_room()
            repository.dvc("repro")
        yield another_threshold(real, idle, images // 2)


def another_threshold(real: "Repository", idle: "Repository", images: int) -> Row:
    for repository in (real, idle):
        repository.commit()
        repository.experiment()
    times = in_turn(real.experiment, idle.experiment, REPEATS)
    ours, theirs = statistics.median(times.ours), statistics.median(times.theirs)
    return Row(
        f"dvc exp run -S threshold=X, {images} rooms",
        "the same stages, doing nothing",
        f"+{ours - theirs:.2f} s ({ours:.1f} s, {theirs:.1f} s)",
        "at most +1 s",
        times.figures() | {"difference_seconds": round(ours - theirs, 3)},
    )


class Repository:
    """A copy of this one, under git and DVC of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._experiments = folder, 0
        shutil.copytree(scenes.ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.rmtree(folder / "data", ignore_errors=True)
        shutil.copytree(scenes.ROOT / "data/rooms", folder / "data/rooms")
        (folder / "data/.gitignore").write_text("/*\n!/rooms\n")
        self._git("init", "--quiet")
        self.dvc("init", "--quiet")
        self.commit()

    def do_nothing(self) -> None:
        """Commands that write a line to each output, another one if the threshold is another."""
        path = self.folder / "dvc.yaml"
        pipeline: dict[str, Any] = yaml.safe_load(path.read_text())
        for stage in pipeline["stages"].values():
            kinds = ("outs", "metrics", "plots")
            entries = [entry for kind in kinds for entry in stage.get(kind, [])]
            outputs = [next(iter(one)) if isinstance(one, dict) else one for one in entries]
            stage["cmd"] = [self._write(output, stage) for output in outputs]
        path.write_text(yaml.safe_dump(pipeline, sort_keys=False))
        self.commit()

    @staticmethod
    def _write(output: str, stage: dict[str, Any]) -> str:
        line = (
            "cat data/predictions.zarr/x" if "data/predictions.zarr" in stage["deps"] else "echo 0"
        )
        if "threshold" in stage.get("params", []):
            line = "echo ${threshold}"
        if Path(output).suffix in (".json", ".csv", ".parquet", ".html"):
            return f"mkdir -p {Path(output).parent} && {line} > {output}"
        return f"mkdir -p {output} && {line} > {output}/x"

    def leave_out_every_second_room(self) -> None:
        """Of both parts, as each has an even number of them."""
        for folder in (self.folder / "data/rooms").iterdir():
            for path in sorted(folder.iterdir())[1::2]:
                path.unlink()

    def experiment(self) -> None:
        """Another threshold each time: results of an earlier one would come from the cache."""
        self._experiments += 1
        self.dvc("exp", "run", "--quiet", "-S", f"threshold={0.2 + self._experiments / 1000}")

    def commit(self) -> None:
        identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        self._git("add", "--all")
        self._git(*identity, "commit", "--quiet", "--allow-empty", "--message", "benchmark")

    def dvc(self, *arguments: str) -> None:
        self._run(sys.executable, "-m", "dvc", *arguments)

    def _git(self, *arguments: str) -> None:
        self._run("git", *arguments)

    def _run(self, *command: str) -> None:
        outside = {
            key: value for key, value in os.environ.items() if not re.match("(DVC|GIT)_", key)
        }
        outside["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{outside['PATH']}"
        outside["MASKQUERY_CACHE"] = str(self.folder / ".cache")
        done = subprocess.run(
            command, cwd=self.folder, env=outside, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
