"""Small stores, tables and folders for tests."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, image_masks, pack
from maskquery.selection.rules import Selection
from maskquery.tables import score_table

ROOT = Path(__file__).resolve().parents[2]

Bools = npt.NDArray[np.bool_]


def masks_of(image: str, stack: Bools, **attributes: Any) -> ImageMasks:
    """The masks of one image; stack: (N, H, W) bool, scores and points all different."""
    count = len(stack)
    return image_masks(
        image,
        stack.shape[2],
        pack(stack),
        predicted_iou=np.linspace(0.5, 0.9, count),
        stability_score=np.linspace(0.6, 1.0, count),
        points=np.arange(2 * count).reshape(count, 2) + 0.5,
        attributes=attributes,
    )


def random_stack(rng: np.random.Generator, count: int, height: int, width: int) -> Bools:
    """(N, H, W) bool: rectangles at random places with random holes."""
    stack = np.zeros((count, height, width), bool)
    for mask in stack:
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + height // 2 + 1, x : x + width // 2 + 1] = True
        mask &= rng.random((height, width)) < 0.9
        mask[y, x] = True
    return stack


def write_masks(folder: Path, stacks: Mapping[str, Bools]) -> dict[str, ImageMasks]:
    """Write a store of masks; what is in it, by image."""
    made = {image: masks_of(image, stack) for image, stack in stacks.items()}
    mask_store.MaskStore.write(folder, [made[image] for image in mask_store.shard_order(made)])
    return made


def list_anew(folder: Path) -> None:
    """Make a store's manifest fit its files as they are, whatever they hold."""
    manifest = json.loads((folder / mask_store.MANIFEST).read_bytes())
    shards: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                directory = path.read_bytes()[archive.start_dir :]
                groups = [n for n in archive.namelist() if re.fullmatch("[^/]+/zarr.json", n)]
        except Exception:  # no reader makes sense of it, and none shall
            directory, groups = b"", []
        digest = hashlib.sha256(directory).hexdigest()
        shards[path.name] = {"images": len(groups), "directory_sha256": digest}
    count = sum(listed["images"] for listed in shards.values())
    manifest["attributes"] |= {"images": count, "shards": shards}
    (folder / mask_store.MANIFEST).write_text(json.dumps(manifest, separators=(",", ":")))


NEUTRAL = Selection(
    min_area=0.0,
    max_area=1.0,
    at_border=True,
    duplicate_iou=1.0,
    part_share=1.0,
    min_region=0.0,
    exclusive="none",
)


def write_scores(
    path: Path,
    masks: Mapping[str, ImageMasks],
    classes: list[str],
    similarity: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    """Write scores.parquet; similarity: (N, C) by image, which is the score, too."""
    rows = [
        score_table.rows_of(image, masks[image].ids, classes, similarity[image], similarity[image])
        for image in sorted(masks)
    ]
    score_table.write(path, rows, classes, {})


def loaded_modules(code: str, *arguments: object) -> set[str]:
    """The top-level modules that are loaded once a fresh interpreter has run `code`."""
    program = f"import sys; from pathlib import Path\n{code}\nprint(*sys.modules)"
    listing = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in listing.stdout.split()}
