import io
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from maskquery.clip import encoder, loading
from maskquery.clip.crops import cut
from maskquery.clip.tiny import build_tiny_clip
from maskquery.core.errors import UserError
from maskquery.core.files import file_hash
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, image_masks, pack
from maskquery.models import checkpoints
from maskquery.models.checkpoints import Checkpoint
from maskquery.tables import embedding_table, parquet
from stages import embeddings

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ("crop", "masked", "blurred")
OFF = {"tier": "exact", "mirrored": False, "clahe": 0.0}
SIZES = {"a": (20, 30), "empty": (5, 6), "sub/b": (31, 17), "z": (40, 40)}
COUNTS = {"a": 3, "empty": 0, "sub/b": 5, "z": 1}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny CLIP without any training in place of the shipped one; its sha256."""
    torch.manual_seed(0)
    path = tmp_path / "clip.safetensors"
    save_file(build_tiny_clip().state_dict(), path)
    entry = Checkpoint("clip", "tiny", path.name, file_hash(path), None)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (entry,))
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    monkeypatch.setenv("MASKQUERY_DEVICE", "cpu")
    return entry.sha256


@pytest.fixture(autouse=True)
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))


def pixels_of(image: str) -> np.ndarray:
    rng = np.random.default_rng(len(image))
    return rng.integers(0, 256, (*SIZES[image], 3), dtype=np.uint8)


def png_of(image: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(image)).save(buffer, "PNG")
    return buffer.getvalue()


def masks_of(image: str) -> ImageMasks:
    rng = np.random.default_rng(len(image))
    height, width = SIZES[image]
    count = COUNTS[image]
    return image_masks(
        image,
        width,
        pack(rng.random((count, height, width)) > 0.9),
        predicted_iou=rng.random(count),
        stability_score=rng.random(count),
        points=np.zeros((count, 2)),
        attributes={"sam": {"model": "tiny"}, "sha256": sha256(png_of(image)).hexdigest()},
    )


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with images and masks.zarr."""
    for image in SIZES:
        path = tmp_path / "images" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(image))
    stacks = [masks_of(image) for image in mask_store.shard_order(SIZES)]
    mask_store.MaskStore.write(tmp_path / "masks.zarr", stacks)
    return tmp_path


def settings(folder: Path, **changes: Any) -> embeddings.Params:
    clip = {"model": "tiny", "views": VIEWS, "crop_padding": 0.1, "crop_shape": "pad"} | OFF
    return embeddings.Params.model_validate(
        {"images": str(folder / "images"), "clip": clip | changes}
    )


def test_a_row_per_mask_and_view(
    weights: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of 4 crops, each row is what its crop alone gives."""
    monkeypatch.setattr(encoder, "BATCH_PIXELS", 4 * 64 * 64)
    made, output = settings(inputs), inputs / "embeddings.parquet"
    line = embeddings.run(inputs / "masks.zarr", output, made)
    counts = "4 images computed, 0 from the cache"
    assert line == f"embeddings: 27 rows for 4 images, views: crop, masked, blurred; {counts}"
    rows = pq.read_table(output).to_pylist()
    clip = loading.load("tiny", torch.device("cpu"))
    expected = [
        (image, mask, view)
        for image in sorted(SIZES)
        for mask in range(COUNTS[image])
        for view in range(len(VIEWS))
    ]
    assert len(rows) == len(expected)
    for row, (image, mask, view) in zip(rows, expected, strict=True):
        stack = masks_of(image)
        assert (row["image"], row["mask_id"]) == (image, stack.ids[mask])
        assert row["view"] == VIEWS[view]
        assert row["box"] == stack.boxes[mask].tolist()
        crops = cut(pixels_of(image), stack.boxes[mask], stack.masks[mask], made.clip, 64)
        alone = encoder.encode_images(clip, crops[view][None])[0]
        assert np.dot(alone, row["embedding"]) >= 0.9999


def test_metadata_say_what_made_it(weights: str, inputs: Path) -> None:
    output = inputs / "embeddings.parquet"
    embeddings.run(inputs / "masks.zarr", output, settings(inputs, views=("crop",)))
    assert parquet.read_metadata(output) == {
        "sam": {"model": "tiny"},
        "clip": {
            "model": "tiny",
            "sha256": weights,
            "views": ["crop"],
            "crop_padding": 0.1,
            "crop_shape": "pad",
            **OFF,
        },
    }


def test_no_mask_at_all(weights: str, inputs: Path) -> None:
    mask_store.MaskStore.write(inputs / "masks.zarr", [masks_of("empty")])
    output = inputs / "embeddings.parquet"
    line = embeddings.run(inputs / "masks.zarr", output, settings(inputs))
    assert line.startswith("embeddings: 0 rows for 1 images, views: crop, masked, blurred; ")
    assert list(embedding_table.read(output)) == []


def test_image_that_has_gone(weights: str, inputs: Path) -> None:
    (inputs / "images" / "z.png").unlink()
    with pytest.raises(UserError, match="'z' has masks but no file"):
        embeddings.run(inputs / "masks.zarr", inputs / "embeddings.parquet", settings(inputs))
    assert not (inputs / "embeddings.parquet").exists()


def test_another_image_than_the_masks_are_of(weights: str, inputs: Path) -> None:
    Image.new("RGB", (40, 40)).save(inputs / "images" / "z.png")
    with pytest.raises(UserError, match=r"z\.png is not the image that its masks are of"):
        embeddings.run(inputs / "masks.zarr", inputs / "embeddings.parquet", settings(inputs))


def test_nor_may_it_be_another_where_all_cells_are_there(weights: str, inputs: Path) -> None:
    """The image was overwritten after `masks` looked, and before DVC noted it down."""
    run = (inputs / "masks.zarr", inputs / "embeddings.parquet", settings(inputs))
    embeddings.run(*run)
    assert "0 images computed" in embeddings.run(*run)
    Image.new("RGB", (40, 40)).save(inputs / "images" / "z.png")
    with pytest.raises(UserError, match=r"run `dvc repro`, and .* `dvc repro --force masks`"):
        embeddings.run(*run)


def test_embeddings_of_pixels_that_were_converted_are_others(weights: str, inputs: Path) -> None:
    run = (inputs / "masks.zarr", inputs / "embeddings.parquet", settings(inputs))
    embeddings.run(*run)
    stacks = [masks_of(image) for image in mask_store.shard_order(SIZES)]
    for stack in stacks:
        if stack.image == "z":
            stack.attributes["decoded"] = ["ICC, 1"]  # type: ignore[index]
    mask_store.MaskStore.write(inputs / "masks.zarr", stacks)
    assert "1 images computed, 3 from" in embeddings.run(*run)


def test_one_more_view_and_other_masks_cost_no_more_than_themselves(
    weights: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, crops = inputs / "embeddings.parquet", []
    encode = encoder.encode_images

    def counted(model: object, pixels: np.ndarray, **options: Any) -> np.ndarray:
        crops.append(len(pixels))
        return encode(model, pixels, **options)

    monkeypatch.setattr(encoder, "encode_images", counted)
    embeddings.run(inputs / "masks.zarr", output, settings(inputs, views=("crop",)))
    assert sum(crops) == 9
    embeddings.run(inputs / "masks.zarr", output, settings(inputs, views=("masked", "crop")))
    assert sum(crops) == 18
    changed = mask_store.MaskStore(inputs / "masks.zarr").read("z")
    others = [masks_of(image) for image in SIZES if image != "z"]
    changed = image_masks(
        "z",
        changed.width,
        pack(np.ones((1, 40, 40), bool)),
        predicted_iou=[0.5],
        stability_score=[0.5],
        points=[[0, 0]],
        attributes=changed.attributes,
    )
    groups = {group.image: group for group in [*others, changed]}
    mask_store.MaskStore.write(
        inputs / "masks.zarr", [groups[i] for i in mask_store.shard_order(groups)]
    )
    embeddings.run(inputs / "masks.zarr", output, settings(inputs, views=("masked", "crop")))
    assert sum(crops) == 20


@pytest.mark.parametrize("order", [("crop", "masked", "blurred"), ("blurred",), ("masked", "crop")])
def test_what_else_was_computed_before_changes_no_byte(
    weights: str,
    inputs: Path,
    order: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Views alone or together, images with others or without: the batches are the same."""
    monkeypatch.setattr(encoder, "BATCH_PIXELS", 4 * 64 * 64)
    output = inputs / "embeddings.parquet"
    embeddings.run(inputs / "masks.zarr", output, settings(inputs))
    whole = output.read_bytes()
    monkeypatch.setenv("MASKQUERY_CACHE", str(inputs / "other cells"))
    for view in order:
        embeddings.run(inputs / "masks.zarr", output, settings(inputs, views=(view,)))
    embeddings.run(inputs / "masks.zarr", output, settings(inputs))
    assert output.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: ViT-B/33", r"clip\.model is 'ViT-B/33'; it must be one of tiny, RN50"),
        ("tier: slow", r"clip\.tier is 'slow'.*'exact' or 'fast'"),
        ("views: []", r"clip\.views is \[\]"),
        (
            "views: [crop, cropped]",
            r"clip\.views\[1\] is 'cropped'.*'masked', 'black' or 'blurred'",
        ),
        ("crop_padding: -1", r"clip\.crop_padding is -1"),
        ("crop_shape: round", r"clip\.crop_shape is 'round'.*'square', 'pad', 'centre' or 'model'"),
    ],
)
def test_wrong_params_end_in_one_line_without_torch(
    tmp_path: Path, line: str, message: str
) -> None:
    lines = [
        "model: tiny",
        "tier: exact",
        "views: [crop]",
        "crop_padding: 0.1",
        "crop_shape: pad",
        "mirrored: false",
        "clahe: 0",
    ]
    key = line.split(":")[0]
    lines = [line if own.startswith(f"{key}:") else own for own in lines]
    text = "\n  ".join(["images: images", "clip:", *lines]).replace("\n  clip:", "\nclip:")
    (tmp_path / "params.yaml").write_text(text)
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["torch"] = None
runpy.run_module("stages.embeddings", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)


@pytest.mark.parametrize(
    ("tier", "instructions", "told"),
    [
        ("fast", {"avx2": True, "avx512_bf16": False}, True),
        ("fast", {"avx2": True, "avx512_bf16": True}, False),
        ("exact", {"avx2": True}, False),
    ],
)
def test_tier_fast_says_where_it_is_slow(
    weights: str,
    inputs: Path,
    tier: str,
    instructions: dict[str, bool],
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    monkeypatch.setenv("MASKQUERY_DEVICE", "cpu")
    embeddings.run(
        inputs / "masks.zarr", inputs / "embeddings.parquet", settings(inputs, tier=tier)
    )
    assert ("clip.tier exact takes less time" in capsys.readouterr().err) == told
