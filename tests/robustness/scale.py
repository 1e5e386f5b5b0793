"""How long DVC and the stages take where nothing, or one image of many, is to be computed.

`python -m tests.robustness.scale 20000 /some/folder` makes so many small images in the folder, runs
both stages once, and prints how long each of the following takes, and what the stages spend.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.robustness.project import STAGES
from tests.robustness.repository import Repository


def put(folder: Path, number: int) -> None:
    """A photograph's worth of a small image: 96 x 72, 10 kB."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (72, 96, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"room_{number:06}.jpg", quality=80)


def timed(what: str, action: Callable[[], object]) -> None:
    start = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - start
    note = result if isinstance(result, list) else ""
    sys.stdout.write(f"{what:60} {seconds:8.1f} s   {note}\n")
    sys.stdout.flush()


def main(count: int, folder: Path) -> None:
    repository = Repository.create(folder / "repository", 1)
    (repository.folder / ".gitignore").write_text(".cache/\n.*.tmp\n/data/images\n")
    repository.git("rm", "-r", "--quiet", "--cached", "data/images")
    repository.set_param("sam.points_per_side", 8)
    repository.commit()
    images = repository.folder / "data/images"
    (images / "room_0.png").unlink()
    timed(f"make {count} images", lambda: [put(images, number) for number in range(count)][:0])
    timed("first dvc repro", repository.repro)
    timed("dvc repro, nothing to do", repository.repro)
    timed("dvc repro, nothing to do", repository.repro)
    timed("dvc status", lambda: repository.dvc("status") and None)
    put(images, count)
    timed("dvc repro, one image more", repository.repro)
    for stage in STAGES:
        timed(
            f"  of it {stage}, by itself", lambda stage=stage: repository.run_stage(stage) and None
        )
    put(images, count + 1)
    timed("dvc repro, one image more", repository.repro)
    repository.set_param("sam.points_per_side", 7)
    timed("dvc repro, another parameter", repository.repro)
    repository.set_param("sam.points_per_side", 8)
    timed("dvc repro, and back", repository.repro)
    for command in ("list", "gc"):
        line = [sys.executable, "-m", "retrieval.cache_cleaning", command]
        timed(f"cache {command}", lambda line=line: repository.run(*line).out.splitlines())
    sizes = ["du", "-sh", ".cache", "data/images", "data/masks.zarr", "data/embeddings.parquet"]
    subprocess.run(sizes, cwd=repository.folder, check=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
