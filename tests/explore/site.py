"""A small workspace for the explorer, whose scores are known, and its server."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from maskquery.clip import texts
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks
from maskquery.models import checkpoints
from maskquery.tables import embedding_table
from tests.support.builders import ROOT, Bools, masks_of, random_stack

VIEWS = ("crop", "masked")
WEIGHTS = {"crop": 0.25, "masked": 0.75}
WIDE = "a/wide"
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> &amp; #1?%2e%2e"
SPARE = "b 2"  # shows neither class
EMPTY = "empty"
CLASSES = {
    "chair": ["a chair"],
    "table": ["a table", "a desk"],
    "<b>lamp</b>": ['"><script>a lamp'],
}
SCORES: dict[str, Any] = {
    "view_weights": WEIGHTS,
    "templates": ["{}"],
    "prompts": "best",
    "scoring": "cosine",
    "negative_prompts": ["a thing"],
    "temperature": 0.05,
    "quality": 0.0,
}
THRESHOLD = 0.5

Floats = npt.NDArray[np.float32]


def build(folder: Path) -> dict[str, ImageMasks]:
    """Make a workspace: images, label maps, masks, embeddings, params.yaml; the masks by image."""
    rng = np.random.default_rng(7)
    stacks = {
        # Holes of 16 x 16 pixels: a hole for every pixel would make a region of every pixel.
        WIDE: random_stack(rng, 100, 48, 64).repeat(16, axis=1).repeat(16, axis=2),
        HOSTILE: random_stack(rng, 9, 60, 83),
        SPARE: random_stack(rng, 12, 48, 64),
        EMPTY: np.zeros((0, 40, 50), bool),
    }
    made = {image: masks_of(image, stack) for image, stack in stacks.items()}
    for image, stack in stacks.items():
        _draw(folder, image, stack, rng)
    ordered = [made[image] for image in mask_store.shard_order(made)]
    mask_store.MaskStore.write(folder / "data/masks.zarr", ordered)
    rows = [embedding_table.rows_of(m, VIEWS, _embeddings(m, rng)) for _, m in sorted(made.items())]
    clip = {"model": "tiny", "sha256": checkpoints.find("clip", "tiny").sha256, "views": VIEWS}
    table = folder / "data/embeddings.parquet"
    embedding_table.write(table, rows, 128, {"clip": clip})
    (folder / "params.yaml").write_text(yaml.safe_dump(params(), sort_keys=False))
    return made


def params() -> dict[str, Any]:
    """What params.yaml holds."""
    return {
        "threshold": THRESHOLD,
        "images": "data/images",
        "max_pixels": 10_000_000,
        "scores": SCORES,
        "classes": CLASSES,
        "selection": {"min_area": 0.0, "max_area": 1.0, "at_border": True, "duplicate_iou": 1.0,
                      "part_share": 1.0, "min_region": 0.0, "exclusive": "none"},
        "ground_truth": {
            "folder": "data/truth",
            "pattern": "{image}.npy",
            "palette": {}, "ignore": [],
            "labels": {"chair": [1], "table": [2, 3]},
        },
        "calibration": ["b*"],
    }  # fmt: skip


def _draw(folder: Path, image: str, stack: Bools, rng: np.random.Generator) -> None:
    """An image in colour, and a label map in which some masks are chairs and others tables."""
    height, width = stack.shape[1:]
    labels = np.zeros((height, width), np.int64)
    if image not in (SPARE, EMPTY):
        for label, mask in zip((1, 1, 2, 3), stack, strict=False):
            labels[mask] = label
    pixels = np.repeat(labels[..., None] * 60 + 20, 3, axis=-1).astype(np.uint8)
    pixels[..., 0] += rng.integers(0, 60, (height, width), dtype=np.uint8)
    for path in (folder / f"data/images/{image}.png", folder / f"data/truth/{image}.npy"):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / f"data/images/{image}.png")
    np.save(folder / f"data/truth/{image}.npy", labels)


def _embeddings(masks: ImageMasks, rng: np.random.Generator) -> Floats:
    """(N, V, D), the first masks near the prompts of their label and the others far."""
    prompts = [prompt for own in CLASSES.values() for prompt in own]
    anchors = texts.embeddings("tiny", prompts)
    noise = rng.normal(size=(len(masks.ids), len(VIEWS), 128)) / 128**0.5
    kinds = [0, 0, 1, 2, *rng.integers(0, 4, len(masks.ids))][: len(masks.ids)]
    near = anchors[np.array(kinds, int)][:, None] * rng.uniform(0, 2, (len(masks.ids), 1, 1))
    near[:4] = near[:4] * 0 + 1.5 * anchors[np.array(kinds[:4], int)][:, None]
    vectors = near + noise
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class Server:
    """A server that runs, as `make explore` runs it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    @property
    def has_torch(self) -> bool:
        """Whether the process has loaded torch."""
        return "libtorch" in Path(f"/proc/{self.pid}/maps").read_text()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body."""
        return self._ask(urllib.request.Request(self.url + path, headers=dict(headers or {})))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON."""
        data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
        status, answer = self._ask(urllib.request.Request(self.url + path, data, kind))
        return status, json.loads(answer)

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def serving(folder: Path, cache: Path, *options: str) -> Iterator[Server]:
    """Serve a workspace on a free port, with further options of the command."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MASKQUERY_CACHE": str(cache)}
    with subprocess.Popen(
        [sys.executable, "-m", "maskquery", "explore", "--port", "0", *options],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            assert "http://127.0.0.1:" in line, line + process.stderr.read()
            yield Server(line.split()[1].rstrip("/"), process.pid)
        finally:
            process.terminate()
