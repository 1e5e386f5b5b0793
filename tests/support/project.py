"""A folder in which the two stages on images run, with stand-ins for the models; no git, no DVC."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tests.support import environment
from tests.support.builders import ROOT

PARAMS: dict[str, Any] = {
    "images": "data/images",
    "max_pixels": 10_000,
    "on_error": "fail",
    "sam": {
        "model": "tiny",
        "tier": "exact",
        "points_per_side": 3,
        "points_per_batch": 64,
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.5,
        "stability_score_offset": 1.0,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 0,
        "crop_nms_thresh": 0.7,
        "crop_overlap_ratio": 0.3,
        "crop_n_points_downscale_factor": 1,
        "min_mask_region_area": 0,
        "clahe": 0.0,
    },
    "clip": {
        "model": "tiny",
        "tier": "exact",
        "views": ["crop"],
        "crop_padding": 0.1,
        "crop_shape": "pad",
        "mirrored": False,
        "clahe": 0.0,
    },
}
OUTPUTS = ("data/masks.zarr", "data/embeddings.parquet", "metrics/failures.json")
STAGES = ("masks", "embeddings")


@dataclass(frozen=True)
class Done:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str


def _heed_interrupts() -> None:
    """As at a terminal: a shell's background jobs, and what they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Project:
    """Its files, and the log of what the stand-ins computed."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, images: int) -> "Project":
        project = cls(folder)
        for number in range(images):
            project.put(f"room_{number}", number)
        project.set_params(PARAMS)
        return project

    @property
    def log(self) -> Path:
        """Outside the folder, in which nothing but the stages' own files shall be."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def put(self, name: str, seed: int) -> Path:
        """Add an image or change it."""
        path = self.folder / f"data/images/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        Image.fromarray(rng.integers(0, 256, (40, 30 + seed % 7, 3), np.uint8)).save(path)
        return path

    def set_params(self, params: dict[str, Any]) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.folder / "params.yaml").read_text())
        return content

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **environment.plain(),
            "PYTHONPATH": str(ROOT),
            "STANDIN_LOG": str(self.log),
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )

    def start_stage(self, stage: str, **environment: str) -> "subprocess.Popen[str]":
        return self.start(sys.executable, "-m", "tests.support.standin", stage, **environment)

    def run_stage(self, stage: str, **environment: str) -> Done:
        with self.start_stage(stage, **environment) as process:
            out, err = process.communicate()
        return Done(process.returncode, out, err)

    def run_all(self) -> None:
        """Both stages, which must succeed."""
        for stage in STAGES:
            done = self.run_stage(stage)
            assert done.code == 0, done.err

    def computed(self) -> list[str]:
        """What was computed since the project was made, or since `forget`."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def forget(self) -> None:
        """Start a new log."""
        self.log.unlink(missing_ok=True)

    def files(self, parts: Sequence[str] = OUTPUTS) -> dict[str, bytes]:
        """The outputs' files and their bytes."""
        found: dict[str, bytes] = {}
        for part in parts:
            path = self.folder / part
            paths = sorted(path.rglob("*")) if path.is_dir() else [path]
            found |= {str(p.relative_to(self.folder)): p.read_bytes() for p in paths if p.is_file()}
        return found

    def litter(self) -> list[Path]:
        """Temporary files and folders."""
        return [path for path in self.folder.rglob("*") if path.name.endswith(".tmp")]


def kill(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> Done:
    """Send a signal to one process, and wait for its end."""
    process.send_signal(number)
    out, err = process.communicate()
    return Done(process.returncode, out, err)
