"""Choose the demo's threshold on rooms that are neither trained on nor reported.

    python -m demo.choose_threshold --seeds 5000:5048

Runs the pipeline's own stages, with the settings of params.yaml, over freshly rendered rooms in a
workspace of their own, then `predictions` and `metrics` at each threshold of a grid. Prints the
chair's and the mean figure at each and names the best for chairs; params.yaml is left alone.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]


def run(workspace: Path, *module: str) -> None:
    """Run a module of the project in the workspace."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", *module],
        cwd=workspace,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def prepare(workspace: Path, seeds: str) -> dict[str, Any]:
    """Render the rooms and run everything that does not depend on the threshold; the params."""
    run(workspace, "demo.rooms", "--seeds", seeds, "--samples", "2", "--layout", "report",
        "--out", "rooms")  # fmt: skip
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["images"] = "rooms/images"
    params["ground_truth"]["folder"] = "rooms/render_semantic_npy"
    params["calibration"] = []  # all of them are
    write(workspace, params)
    for stage in ("masks", "embeddings", "scores", "ceilings"):
        run(workspace, f"stages.{stage}")
    return params


def write(workspace: Path, params: dict[str, Any]) -> None:
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="5000:5048", help="of the rooms, FROM:TO")
    parser.add_argument("--workspace", type=Path, default=ROOT / ".cache" / "choose_threshold")
    parser.add_argument("--grid", default="0.0:0.9:0.02", help="thresholds, FROM:TO:STEP")
    arguments = parser.parse_args()
    arguments.workspace.mkdir(parents=True, exist_ok=True)
    params = prepare(arguments.workspace, arguments.seeds)
    best, at = -1.0, 0.0
    for threshold in np.arange(*map(float, arguments.grid.split(":"))).round(6).tolist():
        write(arguments.workspace, params | {"threshold": threshold})
        run(arguments.workspace, "stages.predictions")
        run(arguments.workspace, "stages.metrics")
        metrics = json.loads((arguments.workspace / "metrics" / "metrics.json").read_text())
        chair = metrics["classes"]["chair"]["mean_image_iou"]
        print(f"{threshold:.3f}  chair {chair:.4f}  all classes {metrics['mean_image_iou']:.4f}")
        if chair > best:
            best, at = chair, threshold
    print(f"best for chairs: threshold {at:g}, mean IoU {best:.4f}")


if __name__ == "__main__":
    main()
