"""The rooms' renderer: the same seed gives the same room, and the truth fits the picture."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("embreex")

from demo.rooms import CLASSES, PALETTE, Room, render

SIZE = (96, 72)
CHAIR = 6


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [render(seed, *SIZE) for seed in range(8)]


def test_same_seed_same_room(rooms: list[Room]) -> None:
    again = render(3, *SIZE)
    assert np.array_equal(again.image, rooms[3].image)
    assert np.array_equal(again.instances, rooms[3].instances)
    assert again.objects == rooms[3].objects
    assert not np.array_equal(rooms[2].image, rooms[3].image)


def test_arrays_and_records_agree(rooms: list[Room]) -> None:
    for room in rooms:
        assert room.image.shape == (72, 96, 3)
        assert room.image.dtype == np.uint8
        assert room.instances.shape == room.labels.shape == (72, 96)
        assert room.instances.dtype == np.uint16
        assert room.labels.dtype == np.uint8
        ids, counts = np.unique(room.instances[room.instances > 0], return_counts=True)
        assert [record.id for record in room.objects] == ids.tolist()
        assert [record.pixels for record in room.objects] == counts.tolist()
        for record in room.objects:
            assert CLASSES[record.label] == record.name
            assert np.all(room.labels[room.instances == record.id] == record.label)


def test_rooms_are_furnished_and_lit(rooms: list[Room]) -> None:
    assert sum(CHAIR in room.labels for room in rooms) >= 4
    for room in rooms:
        assert 40 < room.image.mean() < 220
        assert (room.labels != 0).mean() > 0.8
        assert len({record.label for record in room.objects}) >= 4


def test_samples_smooth_the_image_and_keep_the_truth(rooms: list[Room]) -> None:
    fine = render(1, *SIZE, samples=2)
    assert fine.image.shape == rooms[1].image.shape
    assert np.array_equal(fine.labels, rooms[1].labels)


def test_palette_is_well_separated() -> None:
    assert PALETTE.keys() == CLASSES.keys()
    colours = np.array(list(PALETTE.values()), float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    assert distances[~np.eye(len(colours), dtype=bool)].min() > 60


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _run(*options: str) -> None:
    command = [sys.executable, "-m", "demo.rooms", "--size", "64x48", "--workers", "1", *options]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)


def test_training_layout_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    _run("--seeds", "5:9", "--out", str(tmp_path))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(files) == sorted(
        f"{s:08d}.{e}" for s in range(5, 9) for e in ("jpg", "json", "png")
    )
    maps = {seed: _pixels(tmp_path / f"{seed:08d}.png") for seed in range(5, 9)}
    room, ids = next((seed, ids) for seed, ids in maps.items() if ids.shape == (48, 64))
    assert np.array_equal(ids, render(room, 64, 48).instances)
    records = json.loads(files[f"{room:08d}.json"])
    assert [r["id"] for r in records] == np.unique(ids[ids > 0]).tolist()
    (tmp_path / "00000006.jpg").unlink()
    _run("--seeds", "5:9", "--out", str(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_report_layout(tmp_path: Path) -> None:
    _run("--seeds", "2:3", "--out", str(tmp_path), "--layout", "report")
    labels = np.load(tmp_path / "render_semantic_npy" / "room-002.npy", allow_pickle=False)
    assert np.array_equal(labels, render(2, 64, 48).labels)
    colours = _pixels(tmp_path / "render_semantic" / "room-002.jpg").astype(float)
    table = np.array([PALETTE[k] for k in sorted(PALETTE)], float)
    nearest = np.linalg.norm(colours[:, :, None] - table, axis=3).argmin(axis=2)
    assert (nearest == labels).mean() > 0.8
    assert _pixels(tmp_path / "images" / "room-002.jpg").shape == (48, 64, 3)
