import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from maskquery.formats.objects import Files
from maskquery.masks.mask_store import PredictionStore
from maskquery.masks.packed import unpack
from stages import predictions
from tests.support.builders import NEUTRAL, Bools, random_stack, write_masks, write_scores

CLASSES = ("sofa", 'a "chair" & <rug>', "Lampe ü")
NAMES = {  # file by image, with masks of this shape
    "plain": ("plain.jpg", (6, 21, 30)),
    "trip/sommer ü": ("trip/sommer ü.png", (4, 16, 24)),
    "images/x y": ("images/x y.PNG", (5, 9, 13)),
    "bare": ("bare.png", (0, 7, 11)),
    "low": ("low.webp", (3, 8, 5)),
}


class Pipeline:
    """The pipeline's files over random masks; nothing is chosen in "bare" and "low"."""

    def __init__(self, folder: Path, threshold: float = 0.1) -> None:
        rng = np.random.default_rng(0)
        self.files = Files(
            images=folder / "pictures",
            predictions=folder / "predictions.zarr",
            masks=folder / "masks.zarr",
        )
        for name, shape in NAMES.values():
            path = self.files.images / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 255, (*shape[1:], 3), np.uint8)
            Image.fromarray(pixels).save(path, lossless=True)
        stacks = {image: random_stack(rng, *shape) for image, (_, shape) in NAMES.items()}
        self.made = write_masks(self.files.masks, stacks)
        self.similarity = {
            image: rng.uniform(-1, 1, (len(masks.ids), 3)).astype(np.float32)
            for image, masks in self.made.items()
        }
        self.similarity["low"][:] = -0.5
        self.similarity["plain"][:, 0] = -0.5  # no sofa there
        self.scores = folder / "scores.parquet"
        write_scores(self.scores, self.made, list(CLASSES), self.similarity)
        self.choose(threshold)

    def choose(self, threshold: float) -> None:
        self.threshold = threshold
        settings = predictions.Params(threshold=threshold, selection=NEUTRAL)
        inputs = (self.files.masks, self.scores, self.files.masks.with_name("thresholds.json"))
        predictions.run(*inputs, self.files.predictions, settings)

    def planes(self) -> dict[str, dict[str, Bools]]:
        """What predictions.zarr holds: (H, W) bool by image and class."""
        with PredictionStore(self.files.predictions) as store:
            found = [store.read(image) for image in store.images()]
        return {
            each.image: dict(zip(CLASSES, unpack(each.masks, each.width), strict=True))
            for each in found
        }

    def chosen(self) -> dict[str, dict[str, dict[int, Bools]]]:
        """The masks above the threshold: (H, W) bool by image, class and mask id."""
        return {
            image: {
                name: {
                    int(mask_id): mask
                    for mask_id, mask, row in zip(
                        masks.ids,
                        unpack(masks.masks, masks.width),
                        self.similarity[image],
                        strict=True,
                    )
                    if row[number] > np.float32(self.threshold)
                }
                for number, name in enumerate(CLASSES)
            }
            for image, masks in self.made.items()
        }


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def load_coco(path: Path) -> Any:
    """With COCO's own loader, which prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)
