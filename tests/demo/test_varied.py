"""Rooms for training: the same seed gives the same one, its truth fits, and shapes stay sound."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("embreex")

from demo import crop_bank, training_masks
from demo.augment import augmented
from demo.rooms import CLASSES, designs, files, render, render_varied, styles, variety
from demo.rooms.item import Item
from demo.training_crops import CLASS_NAMES

SIZE = (96, 72)
FIRST = files.VARIED_FROM


def test_same_seed_same_room_and_another_than_the_demos() -> None:
    room, again = render_varied(FIRST, *SIZE), render_varied(FIRST, *SIZE)
    assert np.array_equal(room.image, again.image)
    assert room.objects == again.objects
    assert not np.array_equal(room.image, render(FIRST, *SIZE).image)


def test_truth_fits_whatever_the_style() -> None:
    for seed in range(FIRST, FIRST + 12):
        room = render_varied(seed, *SIZE)
        assert room.image.shape == (72, 96, 3)
        assert room.image.dtype == np.uint8
        ids = np.unique(room.instances[room.instances > 0])
        assert [record.id for record in room.objects] == ids.tolist()
        for record in room.objects:
            assert CLASSES[record.label] == record.name
            assert np.all(room.labels[room.instances == record.id] == record.label)


def test_styles_are_drawn_by_their_shares() -> None:
    assert sum(share for share, _, _ in styles.STYLES) == pytest.approx(1)


MAKERS = sorted(
    {make for makes in designs.DESIGNS.values() for make in makes}, key=lambda m: m.__name__
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_designs_are_sound_as_made_warped_and_fitted(make: designs.Design) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        item, place = make(rng), make(rng)
        low, high = place.bounds()
        standing = low[2] < 1
        item = variety.fitted(item, place)
        assert item.bounds()[0 if standing else 1][2] == pytest.approx((low, high)[not standing][2])
        variety.warp(rng, item)
        for mesh in item.meshes:
            assert np.isfinite(mesh.corners).all()
            assert np.isfinite(mesh.normals).all()
            assert np.linalg.norm(mesh.normals, axis=2).max() < 1.01


def test_moved_back_undoes_placing() -> None:
    def corners(item: Item) -> np.ndarray:
        return np.concatenate([mesh.corners.reshape(-1, 3) for mesh in item.meshes])

    item = designs.chair(np.random.default_rng(1))
    before = corners(item)
    item.placed((0, 0, 0), 0.4).placed((1, 2, 0.5), 1.1)
    assert not np.allclose(corners(item), before, atol=0.1)
    assert np.allclose(corners(variety.moved_back(item)), before, atol=1e-5)


def test_crops_are_cut_once_and_read_again(tmp_path: Path) -> None:
    for seed in (0, 1, FIRST):
        files.one(seed, tmp_path / "rooms", (128, 96), 1, "training")
    rooms = sorted((tmp_path / "rooms").glob("*.json"))
    assert [path.stem for path in training_masks.first(rooms, 2)] == ["00000000", f"{FIRST:08d}"]
    bank = tmp_path / "bank"
    crop_bank.fill(bank, rooms, None, 8, 1)
    written = {path: path.stat().st_mtime_ns for path in bank.iterdir()}
    crop_bank.fill(bank, rooms, None, 8, 1)
    assert {path: path.stat().st_mtime_ns for path in bank.iterdir()} == written
    crops = crop_bank.read(bank, rooms)
    assert crops.crops.shape == (len(crops.classes), 64, 64, 3)
    assert len(crops.words) == len(crops.classes) > 3
    assert crops.classes.max() < len(CLASS_NAMES)
    assert not len(crop_bank.read(bank, []).classes)


def test_augmentation_leaves_the_filling_alone() -> None:
    pixels = torch.randn(64, 3, 64, 64)
    pixels[:, :, :20] = 0
    changed = augmented(pixels.clone(), torch.Generator().manual_seed(1))
    assert changed.shape == pixels.shape
    assert torch.isfinite(changed).all()
    assert not changed[:, :, :8].any()
    assert (changed[:, :, 32:] - pixels[:, :, 32:]).abs().mean() > 0.1


def test_masks_of_rooms_come_from_the_pipelines_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from maskquery.masks.mask_store import MaskStore

    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cache"))
    files.one(40, tmp_path / "rooms", (64, 48), 1, "training")
    options = ["--rooms", str(tmp_path / "rooms"), "--out", str(tmp_path / "masks.zarr")]
    monkeypatch.setattr(sys, "argv", ["training_masks", *options, "--count", "1"])
    training_masks.main()
    with MaskStore(tmp_path / "masks.zarr") as store:
        assert store.images() == ["00000040"]
