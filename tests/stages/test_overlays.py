import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.formats import pack as pack_files
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, pack
from stages import overlays

SHAPE = (40, 60)
LABELS = {"chair": (6,), "sofa": (3,)}


CHOSEN = np.arange(2, dtype=np.uint64), np.zeros(2, np.float32)


class Run:
    """A folder with inputs, and the stage's run on it: chairs are in rooms 1, 3 and 4."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.images, self.truth = folder / "images", folder / "gt"
        self.predictions, self.output = folder / "predictions.zarr", folder / "overlays"
        self.table = folder / "images.csv"
        self.table.write_text(
            "image,class,iou\nroom_0,chair,\nroom_1,chair,0.5\nroom_1,sofa,0.0\n"
            "room_3,chair,0.25\nroom_4,chair,0.5\n"
        )
        groups = {}
        for path in (self.images, self.truth):
            path.mkdir()
        for number in range(5):
            image = f"room_{number}"
            pixels = rng.integers(0, 255, (*SHAPE, 3), np.uint8)
            Image.fromarray(pixels).save(self.images / f"{image}.png")
            labels = np.full(SHAPE, 3)
            if number in (1, 3, 4):
                labels[10:20, 10:20] = 6
            np.save(self.truth / f"{image}.npy", labels)
            planes = pack(rng.random((2, *SHAPE)) < 0.5)
            groups[image] = ImagePredictions(
                image, *SHAPE, tuple(LABELS), planes, 9, (1, 1), *CHOSEN
            )
        order = mask_store.shard_order(groups)
        mask_store.PredictionStore.write(self.predictions, [groups[image] for image in order])

    def __call__(
        self, count: int = 2, name: str = "chair", order: str = "name", **truth: Any
    ) -> list[str]:
        known = {"folder": str(self.truth), "pattern": "{image}.npy", "palette": {}, "ignore": ()}
        settings = overlays.Params.model_validate(
            {
                "images": str(self.images),
                "calibration": ("room_9*",),
                "ground_truth": {**known, "labels": LABELS, **truth},
                "overlays": {"order": order, "count": count, "class": name},
            }
        )
        self.line = overlays.run(self.predictions, self.table, self.output, settings)
        return sorted(path.name for path in self.output.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_first_images_that_show_the_class_are_drawn(run: Run) -> None:
    assert run(2) == ["room_1.jpg", "room_3.jpg"]
    assert run.line == f"overlays: 2 panels of chair in {run.output}"


def test_there_are_fewer_where_fewer_show_it(run: Run) -> None:
    assert run(9) == ["room_1.jpg", "room_3.jpg", "room_4.jpg"]
    assert run(3, "sofa") == ["room_0.jpg", "room_1.jpg", "room_2.jpg"]
    assert run(0) == []


def test_without_ground_truth_the_first_images_are_drawn(run: Run) -> None:
    assert run(2, folder=str(run.truth / "nowhere")) == ["room_0.jpg", "room_1.jpg"]


def test_a_panel_shows_image_ground_truth_and_prediction(run: Run) -> None:
    run(1)
    panel = np.asarray(Image.open(run.output / "room_1.jpg")).astype(int)
    assert panel.shape[1] == 824
    # 60 x 40 pixels are drawn as 400 x 267; ground truth: 10:20 of both, at x 416, y 24.
    truth = panel[24 : 24 + 267, 416 : 416 + 400].mean(axis=-1)
    inside = truth[75:125, 75:125]
    assert inside.min() > 200
    assert (truth > 128).mean() == pytest.approx(100 / 2400, rel=0.1)
    predicted = mask_store.PredictionStore(run.predictions).read("room_1").masks[0]
    white = (panel[24 + 267 + 32 :, 8:408].mean(axis=-1) > 128)[:267].mean()
    assert white == pytest.approx(np.bitwise_count(predicted).sum() / 2400, abs=0.05)


def test_panels_are_the_same_every_time(run: Run) -> None:
    run(2)
    first = [path.read_bytes() for path in sorted(run.output.iterdir())]
    run(2)
    assert [path.read_bytes() for path in sorted(run.output.iterdir())] == first


def test_panels_of_an_earlier_run_are_gone(run: Run) -> None:
    run(3)
    assert run(1) == ["room_1.jpg"]


def test_an_unknown_class_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match=r"overlays\.class is 'rug'; .*chair, sofa"):
        run(1, "rug")
    with pytest.raises(UserError, match=r"overlays\.class is 'sofa', which ground_truth\.labels"):
        run(1, "sofa", labels={"chair": (6,)})


def test_an_image_that_is_gone_or_changed_is_named(run: Run) -> None:
    Image.new("RGB", (10, 10)).save(run.images / "room_1.png")
    with pytest.raises(
        UserError, match=r"room_1\.png is 10 x 10 pixels and its prediction 60 x 40"
    ):
        run(1)
    (run.images / "room_1.png").unlink()
    with pytest.raises(UserError, match=re.escape(f"{run.images} has no image 'room_1'")):
        run(1)


def test_a_label_map_of_another_size_is_refused(run: Run) -> None:
    np.save(run.truth / "room_0.npy", np.zeros((60, 40), int))
    with pytest.raises(
        UserError, match=r"room_0\.npy is 40 x 60 pixels and image 'room_0' 60 x 40"
    ):
        run(1)


def test_the_worst_images_are_drawn(run: Run) -> None:
    # A chair is predicted in room 0, which shows none.
    assert run(1, order="worst") == ["room_0.jpg"]
    assert run(2, order="worst") == ["room_0.jpg", "room_3.jpg"]
    assert run(3, order="worst") == [
        "room_0.jpg",
        "room_1.jpg",
        "room_3.jpg",
    ]  # of equals the first
    assert run(9, order="worst") == ["room_0.jpg", "room_1.jpg", "room_3.jpg", "room_4.jpg"]


def test_without_ground_truth_none_is_the_worst(run: Run) -> None:
    folder = str(run.truth / "nowhere")
    assert run(2, order="worst", folder=folder) == ["room_0.jpg", "room_1.jpg"]


@pytest.mark.parametrize(
    "content", [None, "image,class\na,chair\n", "image,class,iou\na,chair,x\n"]
)
def test_a_table_that_cannot_be_read_is_named(run: Run, content: str | None) -> None:
    run.table.unlink()
    if content is not None:
        run.table.write_text(content)
    with pytest.raises(UserError, match=r"images\.csv is missing or damaged"):
        run(1, order="worst")


def test_a_table_of_other_images_is_refused(run: Run) -> None:
    run.table.write_text("image,class,iou\nroom_7,chair,0.5\n")
    with pytest.raises(UserError, match=r"images\.csv and the predictions differ in 'room_7'"):
        run(1, order="worst")


def test_packed_images_and_label_maps_give_the_same_panels(run: Run, tmp_path: Path) -> None:
    names = run(3)
    loose = [(run.output / name).read_bytes() for name in names]
    for name in ("images", "gt"):
        pack_files.run(tmp_path / name, tmp_path / f"packed {name}")
    run.images = tmp_path / "packed images"
    assert run(3, folder=str(tmp_path / "packed gt")) == names
    assert [(run.output / name).read_bytes() for name in names] == loose
