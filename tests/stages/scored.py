"""A small project: images, masks, embeddings, scores and ground truth, with a stand-in for CLIP."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from maskquery.clip import job, texts
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks
from maskquery.models import checkpoints
from maskquery.scoring.similarity import mask_similarity
from maskquery.tables import embedding_table, score_table
from tests.support.builders import Bools, masks_of, random_stack

LABELS = {"chair": (6,), "lamp": (9, 10), "never": (99,)}
PROMPTS = {"chair": ["a chair"], "lamp": ["a lamp"], "never": ["a unicorn"]}
WORDS = {"a chair": 0, "a lamp": 1, "a unicorn": 2, "a chair with legs": 3}
SIZES = {"a": (24, 40), "b": (30, 31), "cal-1": (24, 40), "cal-2": (33, 20)}
CALIBRATION = ("cal-*",)
VIEWS = ("crop",)
SCORING = {
    "view_weights": {"crop": 1.0}, "templates": ["{}"], "prompts": "best", "scoring": "cosine",
    "negative_prompts": [], "temperature": 1.0, "quality": 0.0,
}  # fmt: skip


class Project:
    """Everything in a folder; `a` and `b` are the test split."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.line = ""
        self.folder, self.images, self.truth_folder = folder, folder / "images", folder / "truth"
        self.masks, self.scores = folder / "masks.zarr", folder / "scores.parquet"
        self.embeddings = folder / "embeddings.parquet"
        rng = np.random.default_rng(5)
        self.labels, self.groups, vectors = {}, {}, {}
        self.images.mkdir()
        self.truth_folder.mkdir()
        for image, size in SIZES.items():
            self.labels[image] = labels_of(rng, size)
            np.save(self.truth_folder / f"{image}.npy", self.labels[image])
            pixels = np.repeat(self.labels[image][..., None], 3, axis=-1).astype(np.uint8)
            Image.fromarray(pixels).save(self.images / f"{image}.png")
            digest = sha256((self.images / f"{image}.png").read_bytes()).hexdigest()
            self.groups[image] = masks_of(image, random_stack(rng, 9, *size), sha256=digest)
            vectors[image] = unit(rng.normal(size=(9, 1, 4)))
        order = mask_store.shard_order(self.groups)
        mask_store.MaskStore.write(self.masks, [self.groups[image] for image in order])
        clip = {
            "model": "tiny", "sha256": checkpoints.find("clip", "tiny").sha256, "views": VIEWS,
            "crop_padding": 0.1, "crop_shape": "pad", "mirrored": False, "clahe": 0.0,
            "tier": "exact",
        }  # fmt: skip
        rows = [embedding_table.rows_of(self.groups[i], VIEWS, vectors[i]) for i in SIZES]
        embedding_table.write(self.embeddings, rows, 4, {"clip": clip})
        eye = np.eye(4, dtype=np.float32)
        classes = [np.stack([eye[WORDS[p]] for p in prompts]) for prompts in PROMPTS.values()]
        self.similarity = {i: mask_similarity(v, [1.0], classes) for i, v in vectors.items()}
        self.vectors = vectors
        metadata = {"clip": clip, "scores": SCORING, "prompts": PROMPTS}
        own = [
            score_table.rows_of(i, self.groups[i].ids, list(LABELS), found, found)
            for i, found in self.similarity.items()
        ]
        score_table.write(self.scores, own, list(LABELS), metadata)
        monkeypatch.setenv("MASKQUERY_CACHE", str(folder / "cache"))
        monkeypatch.setattr(texts, "_encode", lambda _, new: np.stack([eye[WORDS[p]] for p in new]))
        monkeypatch.setattr(job, "load", lambda _model, _tier: look)

    @property
    def truth(self) -> GroundTruth:
        return GroundTruth(
            folder=str(self.truth_folder),
            pattern="{image}.npy",
            palette={},
            ignore=(),
            labels=LABELS,
        )

    def section(self, **changes: Any) -> dict[str, Any]:
        """The section `ground_truth` as params.yaml has it."""
        return self.truth.model_dump() | {"folder": str(self.truth_folder)} | changes

    def true(self, image: str, name: str) -> Bools:
        return np.isin(self.labels[image], LABELS[name])

    def iou(self, image: str, name: str, threshold: float) -> float:
        """By prediction and counting."""
        index = list(LABELS).index(name)
        return iou(
            union(self.groups[image], self.similarity[image][:, index] > np.float32(threshold)),
            self.true(image, name),
        )


def labels_of(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Two chairs, a lamp of two labels that touch, and a box, which is no class."""
    labels = np.zeros(size, np.int64)
    labels[2:8, 2:9], labels[12:20, 1:8] = 6, 6
    labels[3:9, 12:15], labels[3:9, 15:18] = 9, 10
    labels[15:20, 12 : rng.integers(15, 19)] = 16
    return labels


def look(pixels: npt.NDArray[np.uint8], masks: ImageMasks, _: object) -> npt.NDArray[np.float32]:
    """The stand-in for CLIP's image encoder: sees chairs, lamps and unicorns by their grey."""
    found = np.zeros((len(masks.ids), 1, 4), np.float32)
    for row, mask in zip(found[:, 0], masks.masks, strict=True):
        grey = np.median(pixels[..., 0][np.unpackbits(mask, axis=-1)[:, : masks.width] > 0])
        row[{6: 0, 9: 1, 10: 1, 16: 0}.get(int(grey), 3)] = 0.6 if grey == 16 else 1.0
        row[2] = 0.8 if grey == 16 else 0.0
    return found


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def union(masks: ImageMasks, chosen: npt.NDArray[np.bool_]) -> Bools:
    stack = np.unpackbits(masks.masks, axis=-1)[..., : masks.width].astype(bool)
    together: Bools = stack[chosen].any(axis=0)
    return together


def iou(predicted: Bools, true: Bools) -> float:
    return float((predicted & true).sum() / (predicted | true).sum())
