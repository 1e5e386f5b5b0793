"""Peak memory of the stage `masks` and of upstream's generator, each in a process of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import yaml

from benchmarks import scenes
from benchmarks.measuring import Row

UPSTREAM = """
import sys
from benchmarks import scenes
from segment_anything import SamAutomaticMaskGenerator
generate = SamAutomaticMaskGenerator(scenes.tiny_sam(), **scenes.sam_settings().upstream())
generate.generate(scenes.room(int(sys.argv[1]), int(sys.argv[2])))
"""

WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small process between: Linux counts to a new process the memory of the one that began it."""


def measure() -> Iterator[Row]:
    sizes = {size: stage(*size) for size in ((640, 480), (2000, 1500), (4000, 3000))}
    upstream = peak([sys.executable, "-c", UPSTREAM, "2000", "1500"], scenes.ROOT)
    shown = {f"{width}x{height}": round(gib, 2) for (width, height), gib in sizes.items()}
    largest, middle = sizes[4000, 3000], sizes[2000, 1500]
    yield Row(
        "peak memory of the stage masks, tiny, 4000x3000",
        "-",
        f"{largest:.2f} GiB",
        "at most 1.5 GB",
        {"gib": shown},
    )
    yield Row(
        "the same, 2000x1500",
        "upstream's generator",
        f"1/{upstream / middle:.1f}: {middle:.2f} GiB",
        "at most 1/4",
        {"ours_gib": round(middle, 2), "upstream_gib": round(upstream, 2)},
    )


def stage(width: int, height: int) -> float:
    """GiB that the stage takes for one image of this size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        cv2.imwrite(str(folder / "images/room.jpg"), scenes.room(width, height)[..., ::-1])
        values = yaml.safe_load((scenes.ROOT / "params.yaml").read_text())
        values["images"] = "images"
        (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return peak([sys.executable, "-m", "stages.masks"], folder)


def peak(command: list[str], folder: Path) -> float:
    """GiB of memory that a process had at most."""
    variables = {"PYTHONPATH": str(scenes.ROOT), "MASKQUERY_CACHE": str(folder / ".cache")}
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *command],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return int(done.stdout) * unit / 2**30
