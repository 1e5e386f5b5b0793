"""Embeddings of prompts come from the cache if it has them, and their bytes are right."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from maskquery.clip import texts
from maskquery.models import checkpoints
from maskquery.models.checkpoints import Checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache and no model: the prompts that one would have been asked for."""
    prompts: list[str] = []

    def encode(model: str, new: Sequence[str]) -> texts.Embeddings:
        prompts.extend(new)
        return np.array([[len(prompt), 0, 1] for prompt in new], np.float32)

    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path))
    monkeypatch.setattr(texts, "_encode", encode)
    return prompts


def cells(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_each_prompt_is_encoded_once(requests: list[str]) -> None:
    first = texts.embeddings("tiny", ["a chair", "a table", "a chair"])
    np.testing.assert_array_equal(first[:, 0], [7, 7, 7])
    assert requests == ["a chair", "a table"]
    second = texts.embeddings("tiny", ["a sofa", "a table"])
    np.testing.assert_array_equal(second[:, 0], [6, 7])
    assert requests == ["a chair", "a table", "a sofa"]


def test_other_weights_are_another_key(
    requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts.embeddings("tiny", ["a chair"])
    texts.embeddings("RN50", ["a chair"])
    retrained = Checkpoint("clip", "tiny", "clip.safetensors", "1" * 64, None)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (retrained,))
    texts.embeddings("tiny", ["a chair"])
    assert requests == ["a chair"] * 3


@pytest.mark.parametrize("position", [0, 100, -40, -1])
def test_flipped_byte_is_noticed(requests: list[str], tmp_path: Path, position: int) -> None:
    right = texts.embeddings("tiny", ["a chair"])
    (cell,) = cells(tmp_path)
    data = bytearray(cell.read_bytes())
    data[position] ^= 1
    cell.write_bytes(data)
    np.testing.assert_array_equal(texts.embeddings("tiny", ["a chair"]), right)
    assert requests == ["a chair"] * 2
    texts.embeddings("tiny", ["a chair"])
    assert requests == ["a chair"] * 2  # the cell was mended


@pytest.mark.parametrize("content", [b"", b"short"])
def test_cut_cell_is_noticed(requests: list[str], tmp_path: Path, content: bytes) -> None:
    texts.embeddings("tiny", ["a chair"])
    cells(tmp_path)[0].write_bytes(content)
    texts.embeddings("tiny", ["a chair"])
    assert requests == ["a chair"] * 2


def test_cell_is_a_npy_file(requests: list[str], tmp_path: Path) -> None:
    right = texts.embeddings("tiny", ["a chair"])
    np.testing.assert_array_equal(np.load(cells(tmp_path)[0], allow_pickle=False), right[0])


def test_known_prompts_need_no_torch(requests: list[str], tmp_path: Path) -> None:
    texts.embeddings("tiny", ["a chair"])
    code = """
import sys
from maskquery.clip import texts
assert texts.embeddings("tiny", ["a chair"]).shape == (1, 3)
assert "torch" not in sys.modules
"""
    environment = os.environ | {"MASKQUERY_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
