"""Both recipes run, stop, go on where they stopped, and end in files that the pipeline loads."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from demo import ship, train_clip, train_sam, training
from demo.rooms.files import one
from maskquery.clip.tiny import build_tiny_clip
from maskquery.sam.tiny import build_tiny_sam

VALIDATED = 2


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    for seed in range(6):
        one(seed, folder, (128, 96), 1, "training")
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], rooms: Path, work: Path, minutes: str
) -> None:
    for module in (training, train_sam):
        monkeypatch.setattr(module, "VALIDATION_ROOMS", VALIDATED)
    options = ["--rooms", str(rooms), "--work", str(work), "--minutes", minutes, "--batch", "2"]
    monkeypatch.setattr(sys, "argv", ["train", *options, "--threads", "1"])
    main()


@pytest.mark.slow
def test_trained_stopped_resumed_and_shipped(
    monkeypatch: pytest.MonkeyPatch, rooms: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(train_clip, "WORD_STEPS", 2)
    monkeypatch.setattr(ship, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr(ship, "LOGS", tmp_path / "logs")
    (tmp_path / "weights").mkdir()
    (tmp_path / "logs").mkdir()
    for name, main in (("sam", train_sam.main), ("clip", train_clip.main)):
        work = tmp_path / name
        run(monkeypatch, main, rooms, work, "0.03")
        first = torch.load(work / "checkpoint.pt", weights_only=True)
        run(monkeypatch, main, rooms, work, str(first["used"] / 60 + 0.03))
        second = torch.load(work / "checkpoint.pt", weights_only=True)
        assert 0 < first["step"] < second["step"]
        figures = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in figures] == [first["step"], second["step"]]
        path = ship.ship(work, name)
        shipped = load_file(path)
        for key, value in second["average"].items():
            assert torch.allclose(shipped[key].float(), value.float(), rtol=1e-3, atol=1e-6)
    build_tiny_sam().load_state_dict(load_file(tmp_path / "weights" / "sam.safetensors"))
    build_tiny_clip().load_state_dict(load_file(tmp_path / "weights" / "clip.safetensors"))


def test_between_is_a_mean_and_leaves_integers() -> None:
    start = {"weight": torch.zeros(2).half(), "count": torch.tensor(1)}
    end = {"weight": torch.ones(2), "count": torch.tensor(5)}
    mean = ship.between(start, end, 0.25)
    assert mean["weight"].tolist() == [0.25, 0.25]
    assert mean["weight"].dtype == torch.float32
    assert mean["count"] == 5
