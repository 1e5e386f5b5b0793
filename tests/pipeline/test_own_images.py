"""A user's own images: other sizes, formats and subjects than the demo's rooms."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tests.pipeline.conftest import Made
from tests.support.plain import read_masks
from tests.support.workspace import STAGES, Workspace

SIZES = {  # height, width as they are to be seen
    "shapes": (240, 320),
    "portrait grey": (150, 101),
    "trip/Überblick": (120, 200),
    "trip/glass": (64, 64),
    "plain": (40, 60),
    "deep": (33, 500),
}
COLOURS = {1: (220, 30, 30), 2: (30, 60, 220)}


def draw(height: int, width: int) -> Image.Image:
    """A red disc and a blue box on a gradient."""
    rows, columns = np.mgrid[:height, :width]
    grey = 255 * (rows / height + columns / width) / 2
    image = Image.fromarray(np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    side = min(height, width) / 4
    pen.ellipse((side / 2, side / 2, 2 * side, 2 * side), COLOURS[1])
    pen.rectangle((width - 2 * side, height - 2 * side, width - side, height - side), COLOURS[2])
    return image


def save(folder: Path) -> None:
    """One image of each kind."""
    (folder / "trip").mkdir(parents=True)
    draw(*SIZES["shapes"]).save(folder / "shapes.JPG", "JPEG", quality=92)
    draw(*SIZES["portrait grey"]).convert("L").save(folder / "portrait grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: to be turned by 90 degrees
    sideways = draw(*SIZES["trip/Überblick"]).transpose(Image.Transpose.ROTATE_90)
    sideways.save(folder / "trip/Überblick.jpeg", exif=turned)
    glass = draw(*SIZES["trip/glass"]).convert("RGBA")
    glass.putalpha(128)
    glass.save(folder / "trip/glass.webp", lossless=True)
    Image.new("RGB", SIZES["plain"][::-1], "white").save(folder / "plain.bmp")
    deep = np.asarray(draw(*SIZES["deep"]).convert("L")).astype(np.uint16) * 256
    Image.fromarray(deep).save(folder / "deep.tif")
    (folder / "notes.txt").write_text("not an image")


@pytest.fixture(scope="module")
def own(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The pipeline over such a folder, with classes of its own and an empty ground truth."""
    workspace = made.workspace.copy(tmp_path_factory.mktemp("own") / "repository")
    save(workspace.path("data/mine"))
    workspace.path("data/truth").mkdir()
    workspace.set_params(
        {
            "images": "data/mine",
            "ground_truth.folder": "data/truth",
            "classes": {"disc": ["a red disc"], "box": ["a box", "a blue box"]},
            "overlays.class": "disc",
            "overlays.count": 4,
            "threshold": -1,
            "selection.part_share": 1.0,
        }
    )
    assert workspace.dvc("repro").ran == STAGES
    return workspace


def test_every_image_is_stored_at_the_size_at_which_it_is_seen(own: Workspace) -> None:
    masks = read_masks(own.path("data/masks.zarr"))
    assert masks.keys() == SIZES.keys()
    for image, found in masks.items():
        assert all(mask.shape == SIZES[image] for mask in found.values())
    assert any(masks.values())


def test_scores_are_of_its_own_classes(own: Workspace) -> None:
    scores = pd.read_parquet(own.path("data/scores.parquet"))
    counts = {image: len(found) for image, found in read_masks(own.path("data/masks.zarr")).items()}
    assert set(scores["class"]) == {"disc", "box"}
    expected = {image: 2 * count for image, count in counts.items() if count}
    assert scores["image"].value_counts().to_dict() == expected


def test_without_ground_truth_the_metrics_are_counts(own: Workspace) -> None:
    masks = sum(map(len, read_masks(own.path("data/masks.zarr")).values()))
    metrics = json.loads(own.path("metrics/metrics.json").read_text())
    assert metrics == {"images": len(SIZES), "masks": masks}
    details = json.loads(own.path("metrics/details.json").read_text())
    assert details == {"classes": {"disc": {"masks": masks}, "box": {"masks": masks}}}
    assert len(list(own.path("data/overlays").iterdir())) == 4
    own.dvc("plots", "show")  # curves without a row are no error


def write_truth(folder: Path) -> None:
    """A colour render for each image, blurred by JPEG where there is something to see."""
    for image, (height, width) in SIZES.items():
        path = folder / f"{image}_labels.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        label_map(height, width).save(path)
        if image == "shapes":
            label_map(height, width).save(path.with_suffix(".jpg"), quality=85)
            path.with_suffix(".jpg").rename(path)


def label_map(height: int, width: int) -> Image.Image:
    """A disc in the middle, on black."""
    image = Image.new("RGB", (width, height), "black")
    side = min(height, width) / 4
    box = (width / 2 - side, height / 2 - side, width / 2 + side, height / 2 + side)
    ImageDraw.Draw(image).ellipse(box, COLOURS[1])
    return image


def test_ground_truth_that_is_added_later_reruns_what_reads_it(
    own: Workspace, tmp_path: Path
) -> None:
    workspace = own.copy(tmp_path / "repository")
    write_truth(workspace.path("data/truth"))
    workspace.set_params(
        {
            "ground_truth.pattern": "{image}_labels.png",
            "ground_truth.palette": {0: [0, 0, 0], 1: list(COLOURS[1]), 2: list(COLOURS[2])},
            "ground_truth.labels": {"disc": [1], "box": [2]},
        }
    )
    done = workspace.dvc("repro")
    assert done.ran == ["calibration", "curves", "oracle", "prompts", "metrics", "overlays"]
    metrics = json.loads(workspace.path("metrics/details.json").read_text())
    masks = read_masks(workspace.path("data/masks.zarr"))
    overlaps = []
    for image, size in SIZES.items():
        true = disc_pixels(label_map(*size))
        found = np.zeros(size, bool)
        for mask in masks[image].values():
            found |= mask
        overlaps.append((found & true).sum() / (found | true).sum())
    # JPEG blurs the disc's edge: a pixel there may go either way.
    assert metrics["classes"]["disc"]["mean_image_iou"] == pytest.approx(
        np.mean(overlaps), abs=2e-3
    )
    assert metrics["classes"]["box"]["images_with_class"] == 0


def disc_pixels(image: Image.Image) -> npt.NDArray[np.bool_]:
    pixels: npt.NDArray[np.bool_] = np.asarray(image)[..., 0] > 110
    return pixels
