"""Masks and embeddings of two demo rooms, as they were when a VERSION was last raised.

`python -m tests.architecture.golden` writes them anew, into tests/golden: packed masks and float16
embeddings of each room, and the params, weights and versions with which they were computed. The
params are the golden data's own: another value in params.yaml changes no code.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import yaml

from maskquery import clip, sam
from maskquery.models import checkpoints
from tests.support import environment
from tests.support.builders import ROOT
from tests.support.plain import Bools, read_embeddings, read_masks

ROOMS = ("room-000", "room-004")
FOLDER = ROOT / "tests/golden"
PARAMS = FOLDER / "params.yaml"
ABOUT = FOLDER / "about.yaml"
COMMAND = "python -m tests.architecture.golden"
TOLERANCE = 0.9999
"""The least IoU of two masks, and the least cosine of two embeddings, that count as equal."""


class Results(NamedTuple):
    """Of one room: N masks, (N, H, W) bool, and their embeddings, (N, V, D)."""

    masks: Bools
    embeddings: npt.NDArray[np.floating[Any]]


def about() -> dict[str, Any]:
    """What the golden data depend on besides code and params."""
    return {
        "versions": {"masks": sam.VERSION, "embeddings": clip.VERSION},
        "weights": {kind: checkpoints.find(kind, "tiny").sha256 for kind in ("sam", "clip")},
    }


@functools.cache
def stored() -> dict[str, Results]:
    """What is in tests/golden."""
    found = {}
    for room in ROOMS:
        with np.load(FOLDER / f"{room}.npz") as arrays:
            masks = np.unpackbits(arrays["masks"], axis=-1)[..., : arrays["width"]].astype(bool)
            found[room] = Results(masks, arrays["embeddings"])
    return found


@functools.cache
def computed() -> dict[str, Results]:
    """The stages' results, in an empty folder and without any finished work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / yaml.safe_load(PARAMS.read_text())["images"]
        images.mkdir(parents=True)
        shutil.copyfile(PARAMS, folder / "params.yaml")
        for room in ROOMS:
            shutil.copy(ROOT / f"data/rooms/images/{room}.jpg", images)
        own = {"PYTHONPATH": str(ROOT), "MASKQUERY_DEVICE": "cpu"}
        for stage in ("masks", "embeddings"):
            done = subprocess.run(
                [sys.executable, "-m", f"stages.{stage}"],
                cwd=folder,
                env=environment.plain() | own,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert f"{len(ROOMS)} images computed" in done.stdout
        masks = read_masks(folder / "data/masks.zarr")
        vectors = read_embeddings(folder / "data/embeddings.parquet")
        return {
            room: Results(
                np.stack(list(masks[room].values())),
                np.stack([vectors[room][mask_id] for mask_id in masks[room]]),
            )
            for room in ROOMS
        }


def overlaps(one: Bools, other: Bools) -> npt.NDArray[np.float64]:
    """The IoU of each of N masks with each of M: (N, M)."""
    flat = [masks.reshape(len(masks), -1).astype(np.float64) for masks in (one, other)]
    both = flat[0] @ flat[1].T
    areas = [rows.sum(axis=1) for rows in flat]
    return both / (areas[0][:, None] + areas[1] - both)


def difference(stage: str, golden: Results, found: Results) -> str:
    """In which way a stage's results on one room are beyond the tolerance; "" if they are not."""
    if len(found.masks) != len(golden.masks):
        return f"{len(found.masks)} masks instead of {len(golden.masks)}"
    ious = overlaps(golden.masks, found.masks)
    partners = ious.argmax(axis=1)
    least = ious.max(axis=1).min()
    if len(set(partners)) < len(partners) or least < TOLERANCE:
        return f"a mask has an IoU of {least:.6f} with its golden one"
    if stage == "masks":
        return ""
    one, other = (
        vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        for vectors in (golden.embeddings.astype(np.float64), found.embeddings[partners])
    )
    least = (one * other).sum(axis=-1).min()
    return "" if least >= TOLERANCE else f"an embedding has a cosine of {least:.6f} with its own"


def differences(stage: str) -> list[str]:
    """A line for each room whose results are beyond the tolerance."""
    lines = {room: difference(stage, stored()[room], computed()[room]) for room in ROOMS}
    return [f"{room}: {line}" for room, line in lines.items() if line]


def verdict(stage: str) -> str:
    """Whether a change of code needs another VERSION, judged by the results."""
    if lines := differences(stage):
        package = {"masks": "sam", "embeddings": "clip"}[stage]
        return (
            f"its results differ from tests/golden ({'; '.join(lines)}): raise VERSION in "
            f"maskquery/{package}/__init__.py, then run `{COMMAND}`"
        )
    return f"its results are those of tests/golden to {TOLERANCE}: VERSION may stay"


def write() -> None:
    """Write the golden data anew, with the present params, weights and code."""
    FOLDER.mkdir(exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    chosen = {key: params[key] for key in ("images", "max_pixels", "on_error", "sam", "clip")}
    PARAMS.write_text(yaml.safe_dump(chosen, sort_keys=False))
    for room, found in computed().items():
        np.savez_compressed(
            FOLDER / f"{room}.npz",
            masks=np.packbits(found.masks, axis=-1),
            width=found.masks.shape[-1],
            embeddings=found.embeddings.astype(np.float16),
        )
    ABOUT.write_text(yaml.safe_dump(about(), sort_keys=False))


if __name__ == "__main__":
    write()
