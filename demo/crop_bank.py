"""Crops of all training rooms, cut once and kept: cutting takes longer than learning from them."""

import json
from collections.abc import Iterable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from demo.training_crops import Crops, Examples
from maskquery.clip.tiny import IMAGE_SIZE


def fill(folder: Path, rooms: list[Path], masks: Path | None, count: int, workers: int) -> None:
    """Cut the crops of those rooms that have none in `folder` yet; `count` of made-up masks."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [path for path in rooms if not _file(folder, path).exists()]
    parts = [missing[k :: 4 * workers] for k in range(4 * workers)]
    job = partial(_fill, folder, masks, count)
    if workers < 2 or len(missing) < workers:
        job(missing)
        return
    with get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(job, parts):
            pass


def _file(folder: Path, room: Path) -> Path:
    return folder / f"{room.stem}.npz"


def _fill(folder: Path, masks: Path | None, count: int, rooms: list[Path]) -> None:
    cv2.setNumThreads(1)
    examples = Examples(masks)
    for room in rooms:
        found = examples.draw(room, count, np.random.default_rng((int(room.stem), 4)))
        part = folder / f".{room.stem}.part.npz"
        np.savez(
            part, crops=found.crops, classes=found.classes, words=np.array(json.dumps(found.words))
        )
        part.replace(_file(folder, room))


def read(folder: Path, rooms: Iterable[Path]) -> Crops:
    """The crops of these rooms, one after the other."""
    parts = []
    for room in rooms:
        with np.load(_file(folder, room)) as file:
            parts.append((file["crops"], file["classes"], json.loads(str(file["words"]))))
    total = sum(len(classes) for _, classes, _ in parts)
    crops = np.empty((total, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    start = 0
    for number, (own, classes, words) in enumerate(parts):
        crops[start : start + len(own)] = own
        start += len(own)
        parts[number] = (own[:0], classes, words)  # so that the crops are not held twice
    classes = np.array([k for _, classes, _ in parts for k in classes], np.uint8)
    return Crops(crops, classes, [w for _, _, words in parts for w in words])
