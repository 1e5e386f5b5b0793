"""Rendered rooms as training data: a folder written by `python -m demo.rooms --layout training`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HELD_OUT = 40  # rooms whose seed is a multiple are held out from the training of the tiny CLIP


@dataclass(frozen=True)
class TrainingRoom:
    """One room: image (H, W, 3) uint8 RGB, instances (H, W) with 0 for none, objects by id."""

    image: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    objects: dict[int, dict[str, Any]]


def find_rooms(folder: Path) -> list[Path]:
    """The rooms of a folder, as paths of their JSON files, by seed."""
    return sorted(folder.glob("*.json"))


def read_room(path: Path) -> TrainingRoom:
    """Read one room from its JSON file's path; image and instance map lie beside it."""
    image = cv2.imread(str(path.with_suffix(".jpg")), cv2.IMREAD_COLOR)
    instances = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    if image is None or instances is None:
        raise FileNotFoundError(f"{path}: its .jpg or .png is missing or damaged")
    objects = {int(entry["id"]): entry for entry in json.loads(path.read_text())}
    return TrainingRoom(
        np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8),
        instances.astype(np.uint16),
        objects,
    )
