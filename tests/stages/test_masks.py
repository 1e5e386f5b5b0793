import json
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.core.files import file_hash
from maskquery.images import image_files
from maskquery.jobs import cache, cells
from maskquery.masks import mask_store
from maskquery.masks.mask_store import MaskStore
from maskquery.models import checkpoints
from maskquery.models.checkpoints import Checkpoint
from maskquery.sam import VERSION, job, loading
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.tiny import build_tiny_sam
from stages import masks
from tests.support.pictures import P3, icc

ROOT = Path(__file__).resolve().parents[2]

PARAMS = """
threshold: 0.3
images: {folder}
max_pixels: 1000
on_error: fail
sam:
  model: tiny
  tier: exact
  points_per_side: 2
  points_per_batch: 64
  pred_iou_thresh: 0.0
  stability_score_thresh: 0.0
  stability_score_offset: 1.0
  box_nms_thresh: 1.0
  crop_n_layers: 0
  crop_nms_thresh: 0.7
  crop_overlap_ratio: 0.3413333333333333
  crop_n_points_downscale_factor: 1
  min_mask_region_area: 0
  clahe: 0
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny SAM without any training in place of the shipped one; its sha256."""
    torch.manual_seed(0)
    path = tmp_path / "sam.safetensors"
    save_file(build_tiny_sam().state_dict(), path)
    entry = Checkpoint("sam", "tiny", path.name, file_hash(path), None)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (entry,))
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    monkeypatch.setenv("MASKQUERY_DEVICE", "cpu")
    return entry.sha256


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different sizes."""
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name, size in {"a": (20, 30), "sub/b": (31, 17), "c": (1, 1)}.items():
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


Settings = Callable[..., masks.Params]


@pytest.fixture
def settings(tmp_path: Path, folder: Path) -> Settings:
    def settings(**changes: object) -> masks.Params:
        path = tmp_path / "params.yaml"
        lines = PARAMS.format(folder=folder).splitlines()
        for key, value in changes.items():
            indent = "" if f"{key}: " in ("max_pixels: ", "on_error: ") else "  "
            start = f"{indent}{key}:"
            lines = [f"{start} {value}" if line.startswith(start) else line for line in lines]
        path.write_text("\n".join(lines))
        return params.load(masks.Params, path)

    return settings


def run(folder: Path, made: masks.Params, name: str = "masks.zarr") -> str:
    return masks.run(folder / name, folder / "failures.json", made)


def test_store_holds_what_the_generator_finds(
    weights: str, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    made = settings()
    line = run(tmp_path, made)
    generate = MaskGenerator(loading.load("tiny", torch.device("cpu")), made.sam).generate
    total = 0
    with MaskStore(tmp_path / "masks.zarr") as store:
        assert store.images() == ["a", "c", "sub/b"]
        for image in store.images():
            pixels = image_files.read(folder / f"{image}.png")
            expected = generate(pixels)
            stored = store.read(image)
            assert len(stored.ids) > 0
            total += len(stored.ids)
            for name in ("masks", "ids", "boxes", "areas", "predicted_iou", "points"):
                np.testing.assert_array_equal(getattr(stored, name), getattr(expected, name))
            told = {key: value for key, value in made.sam.model_dump().items() if key != "clahe"}
            assert stored.attributes["sam"] == told | {"sha256": weights}  # off: not told
            assert stored.attributes["sha256"] == file_hash(folder / f"{image}.png")
    computed = "3 images computed, 0 from the cache"
    assert line == f"masks: {total} masks in 3 images; {computed}"


def test_same_bytes_again_and_without_cells(
    weights: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second", "third"):
        if name == "third":
            monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "other cells"))
        run(tmp_path, settings(), name)
    first, second, third = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("first", "second", "third")
    )
    assert first == second == third


def test_images_without_a_mask(weights: str, settings: Settings, tmp_path: Path) -> None:
    line = run(tmp_path, settings(stability_score_thresh=1.0))
    assert line.startswith("masks: 0 masks in 3 images, 3 of them without any; 3 images computed")
    with MaskStore(tmp_path / "masks.zarr") as store:
        assert store.read("a").masks.shape == (0, 20, 4)


def test_no_model_is_loaded_where_every_image_has_its_cell(
    weights: str, settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, settings())
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("loaded"))
    (folder / "a.png").rename(folder / "renamed.png")
    (folder / "c.png").unlink()
    line = run(tmp_path, settings())
    assert line.endswith(" masks in 2 images; 0 images computed, 2 from the cache")
    with MaskStore(tmp_path / "masks.zarr") as store:
        assert store.images() == ["renamed", "sub/b"]


def test_an_image_that_fails_is_told_when_the_others_are_done(
    weights: str, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    (folder / "0.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"^1 of 4 images failed \(see .*failures.json\).*0\.jpg"):
        run(tmp_path, settings())
    assert not (tmp_path / "masks.zarr").exists()
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert failures["failed"] == 1
    assert "it is empty" in failures["images"]["0"]
    line = run(tmp_path, settings(on_error="skip"))
    assert line.endswith("in 3 images; 0 images computed, 3 from the cache, 1 failed")


def test_an_image_that_became_too_large_for_the_limit_fails_with_or_without_a_cell(
    weights: str, settings: Settings, tmp_path: Path
) -> None:
    run(tmp_path, settings())
    with pytest.raises(UserError, match=r"a.png has 30 x 20 pixels, more than max_pixels \(550\)"):
        run(tmp_path, settings(max_pixels=550))


def test_cells_of_ordinary_images_keep_their_names(
    weights: str, settings: Settings, folder: Path
) -> None:
    """Those of images whose pixels are converted have others than before they were."""
    made = settings()
    pixels = Image.open(folder / "a.png")
    pixels.save(folder / "icc.png", icc_profile=icc(P3))
    Image.fromarray(np.asarray(pixels.convert("L")).astype(np.uint16) << 8).save(
        folder / "deep.png"
    )
    for name, conversions in {"a": (), "icc": ("ICC, 1",), "deep": ("16 bits, 1",)}.items():
        path = folder / f"{name}.png"
        sam_job = job.Description(1000, "tiny", made.sam).open()
        origin = cache.without_neutral(made.sam.model_dump(), clahe=0)
        origin = {**origin, "model": "tiny", "sha256": weights}
        digest = sha256(path.read_bytes()).hexdigest()
        key = cache.key("masks", VERSION, digest, origin, *([conversions] if conversions else []))
        assert sam_job.plan(name, path).keys == {"masks": key}


def test_the_store_says_how_pixels_were_converted(
    weights: str, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    Image.open(folder / "a.png").save(folder / "icc.png", icc_profile=icc(P3))
    run(tmp_path, settings())
    with MaskStore(tmp_path / "masks.zarr") as store:
        assert store.columns("icc").attributes["decoded"] == ["ICC, 1"]
        assert "decoded" not in store.columns("a").attributes


def test_images_that_are_turned_and_keep_their_size_are_counted(
    weights: str, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        Image.open(folder / "a.png").save(folder / f"turned{orientation}.png", exif=exif)
    for _ in range(2):
        line = run(tmp_path, settings())
        assert "; 3 images are turned by EXIF orientation 2, 3 or 4, which keeps their size" in line


@pytest.mark.parametrize("place", [0, 1])
def test_the_last_thing_is_to_look_at_the_images_again(
    weights: str,
    settings: Settings,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: int,
) -> None:
    """Before the store is there, and once more when all is written."""
    module, name = [(mask_store, "decode"), (cells, "record")][place]
    written = getattr(module, name)

    def late(*arguments: object) -> object:
        result: object = written(*arguments)
        Image.new("RGB", (5, 5)).save(folder / "a.png")
        return result

    monkeypatch.setattr(module, name, late)
    with pytest.raises(
        UserError, match=r"a\.png was added, removed or changed while the stage ran"
    ):
        run(tmp_path, settings())
    assert (tmp_path / "masks.zarr").exists() == bool(place)


def test_a_checkpoint_that_is_missing_is_no_images_failure(
    weights: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "sam.safetensors").unlink()
    with pytest.raises(UserError, match=r"sam\.safetensors is missing"):
        run(tmp_path, settings())
    assert not (tmp_path / "failures.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: tiny", "model: vit_x", r"sam\.model is 'vit_x'; it must be one of tiny, vit_b"),
        ("model: tiny", "model: 7", r"sam\.model is 7"),
        ("points_per_side: 2", "points_per_side: 0", r"sam\.points_per_side is 0"),
        ("  points_per_batch: 64\n", "", r"sam\.points_per_batch is missing"),
        ("pred_iou_thresh: 0.0", "pred_iou_thresh: .nan", r"sam\.pred_iou_thresh is nan"),
        ("  model", "  points_per_image: 1\n  model", r"sam\.points_per_image is not a known key"),
        ("images: ", "images: 7\nfolder: ", r"images is 7"),
        ("max_pixels: 1000", "max_pixels: '1e3'", r"max_pixels is '1e3'.*write 1000 without"),
        ("max_pixels: 1000", "max_pixels: 0", r"max_pixels is 0"),
        ("on_error: fail", "on_error: ignore", r"on_error is 'ignore'.*'fail' or 'skip'"),
    ],
)
def test_wrong_params_end_in_one_line_without_torch(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = PARAMS.format(folder=tmp_path)
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["torch"] = None
runpy.run_module("stages.masks", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)
