"""The stages `masks` and `embeddings` as they are, except that the models are a few lines of numpy.

`python -m tests.support.standin masks` runs one as `python -m stages.masks` does. Every image
that is computed appends a line to $STANDIN_LOG and takes $STANDIN_SECONDS; number $STANDIN_EATS_AT
takes $STANDIN_EATS bytes of memory. The image of which $STANDIN_POISON is the digest ends the
process.
"""

import hashlib
import itertools
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.clip import job as clip_work
from maskquery.core import console
from maskquery.masks.packed import ImageMasks, image_masks, pack
from maskquery.sam import job as sam_work
from stages import embeddings, masks

DIMENSIONS = 8
COUNT = itertools.count(1)


def find_masks(model: str, settings: Any) -> Any:
    """Every `points_per_side`-th level of red is a mask."""

    def find(pixels: npt.NDArray[np.uint8]) -> ImageMasks:
        if digest(pixels) == os.environ.get("STANDIN_POISON"):
            os.abort()
        note(f"masks {digest(pixels)} {settings.points_per_side}")
        levels = np.linspace(0, 255, settings.points_per_side + 1)[:-1]
        stack = pixels[None, ..., 0] >= levels[:, None, None]
        count = len(levels)
        scores = np.linspace(0.5, 1, count)
        points = np.zeros((count, 2))
        return image_masks(
            "",
            pixels.shape[1],
            pack(stack),
            predicted_iou=scores,
            stability_score=scores,
            points=points,
        )

    return find


def encode_crops(model: str, tier: str) -> Any:
    """A hash of what each mask and view shows, as a vector."""

    def encode(
        pixels: npt.NDArray[np.uint8], stack: ImageMasks, settings: Any
    ) -> npt.NDArray[np.float32]:
        for view in settings.views:
            note(f"embeddings {digest(pixels)} {digest(stack.ids)} {view}")
        vectors = np.empty((len(stack.ids), len(settings.views), DIMENSIONS), np.float32)
        for mask, own in zip(stack.masks, vectors, strict=True):
            for view, vector in zip(settings.views, own, strict=True):
                seed = mask.tobytes() + f"{view} {settings.crop_shape}".encode()
                vector[:] = np.frombuffer(hashlib.sha256(seed).digest(), np.uint32)
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    return encode


def digest(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:12]


def note(line: str) -> None:
    time.sleep(float(os.environ.get("STANDIN_SECONDS", "0")))
    with open(os.environ["STANDIN_LOG"], "a") as log:  # noqa: PTH123 - one write, appended whole
        log.write(f"{line}\n")
    while Path(os.environ.get("STANDIN_GATE", "/nowhere")).exists():
        time.sleep(0.01)
    count = str(next(COUNT))
    if os.environ.get("STANDIN_DIES_AT") == count:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("STANDIN_EATS_AT") == count:
        len(b"x" * int(os.environ["STANDIN_EATS"]))


def install() -> None:
    """Put the stand-ins where the stages look for the models."""
    sam_work.load = find_masks  # type: ignore[assignment]
    clip_work.load = encode_crops


if __name__ == "__main__":
    install()
    if limit := os.environ.get("STANDIN_FILE_SIZE"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    if limit := os.environ.get("STANDIN_ADDRESS_SPACE"):
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    stage = {"masks": masks, "embeddings": embeddings}[sys.argv[1]]
    console.run(stage.main)
