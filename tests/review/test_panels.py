"""Pictures of changes, where the image itself is another than it was."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from maskquery.evaluation import panels as panel_drawing
from maskquery.evaluation.ground_truth import TruePlanes
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, pack
from maskquery.review import panels
from maskquery.review.changes import ImageChange


def predict(path: Path, height: int, width: int) -> None:
    """A store of one image without any mask."""
    prediction = ImagePredictions(
        image="a",
        height=height,
        width=width,
        classes=("chair",),
        masks=np.zeros((1, height, -(-width // 8)), np.uint8),
        mask_count=0,
        chosen=(0,),
        ids=np.empty(0, np.uint64),
        scores=np.empty(0, np.float32),
    )
    mask_store.PredictionStore.write(path, [prediction])


@pytest.mark.parametrize(("size", "sheets"), [((20, 30), 2), ((10, 30), 1)])
def test_the_base_s_panel_is_left_out_where_the_image_had_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], sheets: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "truth", "out"):
        Path(folder).mkdir()
    pixels = np.zeros((20, 30, 3), np.uint8)
    Image.fromarray(pixels).save("images/a.png")
    np.save("truth/a.npy", np.ones((20, 30), int))
    truth = {
        "folder": "truth",
        "pattern": "{image}.npy",
        "palette": {},
        "ignore": [],
        "labels": {"chair": [1]},
    }
    Path("params.yaml").write_text(yaml.safe_dump({"images": "images", "ground_truth": truth}))
    predict(Path("before.zarr"), *size)
    predict(panels.PREDICTIONS, 20, 30)
    change = ImageChange("a", "chair", 0.5, 0.0)
    (path,) = panels.draw([change], Path("before.zarr"), Path("out"))
    nothing = np.zeros((20, 30), bool)
    alone = panel_drawing.panel_of(
        pixels, pack(nothing), TruePlanes(pack(~nothing[None]), None), "chair", "a"
    )
    with Image.open(path) as picture:
        assert picture.size == (alone.width, sheets * alone.height)
