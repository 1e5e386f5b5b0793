"""What the benchmarks are fed with: the demo's rooms, its model and its settings."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam

from maskquery.core import params
from maskquery.images import image_files, sources
from maskquery.sam import loading
from maskquery.sam.settings import Settings
from stages.masks import Params

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ROOT / "data/rooms/images"

Pixels = npt.NDArray[np.uint8]


def sam_settings() -> Settings:
    """Those of params.yaml, in tier `exact`."""
    chosen = params.load(Params, ROOT / "params.yaml").sam
    return Settings(tier="exact", clahe=0, **chosen.upstream())


def whole_image_settings() -> Settings:
    """The same without crop layers: one grid of points over the whole image."""
    return sam_settings().model_copy(update={"crop_n_layers": 0})


def tiny_sam() -> Sam:
    """The shipped model, on the CPU."""
    return loading.load("tiny", torch.device("cpu"))


def rooms() -> list[sources.File]:
    """The demo's images."""
    return list(image_files.find(ROOMS).values())


def room(width: int, height: int, number: int = 0) -> Pixels:
    """One of the rooms at another size."""
    pixels = image_files.read(rooms()[number])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
