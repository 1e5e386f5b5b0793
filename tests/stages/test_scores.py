import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.clip import texts
from maskquery.core.errors import UserError
from maskquery.masks.packed import ImageMasks, image_masks
from maskquery.models import checkpoints
from maskquery.tables import embedding_table, parquet, score_table
from stages import scores

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ("crop", "masked")
WORDS = {"a chair": (1, 0, 0), "a stool": (0, 1, 0), "a table": (0, 0, 1)}
PLAIN: dict[str, Any] = {
    "templates": ("{}",),
    "prompts": "best",
    "scoring": "cosine",
    "negative_prompts": (),
    "temperature": 1.0,
    "quality": 0.0,
}
CLASSES = {"chair": ("a chair", "a stool"), "table": ("a table",)}


REST = """  templates: ['{}']
  prompts: best
  scoring: cosine
  negative_prompts: []
  temperature: 1.0
  quality: 0.0
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache and `WORDS` in place of a model: the prompts that it was asked for."""
    prompts: list[str] = []

    def encode(model: str, new: Sequence[str]) -> texts.Embeddings:
        prompts.extend(new)
        return np.array([WORDS[prompt] for prompt in new], np.float32)

    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "_encode", encode)
    return prompts


def some_masks(image: str, count: int) -> ImageMasks:
    masks = np.arange(1, count + 1, dtype=np.uint8).reshape(-1, 1, 1)
    scores, points = np.zeros(count), np.zeros((count, 2))
    return image_masks(image, 8, masks, predicted_iou=scores, stability_score=scores, points=points)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Embeddings of image a with 2 masks, b with none, c with 1."""
    path = tmp_path / "embeddings.parquet"
    clip = {"model": "tiny", "sha256": checkpoints.find("clip", "tiny").sha256, "views": VIEWS}
    x, y, z = np.eye(3, dtype=np.float32)
    rows = [
        embedding_table.rows_of(some_masks("a", 2), VIEWS, np.stack([[x, y], [z, -z]])),
        embedding_table.rows_of(some_masks("c", 1), VIEWS, np.stack([[-x, -x]])),
    ]
    embedding_table.write(path, rows, 3, {"sam": {"model": "tiny"}, "clip": clip})
    return path


def settings(**changes: Any) -> scores.Params:
    weights = {"crop": 3, "masked": 1}
    values = {"scores": {**PLAIN, "view_weights": weights}, "classes": CLASSES}
    return scores.Params.model_validate(values | changes)


def test_similarity_of_every_mask_and_class(asked: list[str], table: Path, tmp_path: Path) -> None:
    line = scores.run(table, tmp_path / "scores.parquet", settings())
    assert line == "scores: 3 masks, 2 classes: chair, table"
    read = score_table.read(tmp_path / "scores.parquet")
    assert read.classes == ("chair", "table")
    assert list(read.images) == ["a", "c"]
    np.testing.assert_array_equal(read.images["a"].ids, some_masks("a", 2).ids)
    np.testing.assert_allclose(read.images["a"].similarity, [[0.75, 0], [0, 0.5]])
    np.testing.assert_allclose(read.images["c"].similarity, [[0, 0]])
    metadata = parquet.read_metadata(tmp_path / "scores.parquet")
    assert metadata["prompts"] == {name: list(prompts) for name, prompts in CLASSES.items()}
    assert metadata["scores"]["view_weights"] == {"crop": 3, "masked": 1}
    assert metadata["sam"] == {"model": "tiny"}
    assert metadata["clip"]["model"] == "tiny"


def test_only_new_prompts_need_the_model(asked: list[str], table: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    scores.run(table, output, settings(classes={"chair": ("a chair",)}))
    assert asked == ["a chair"]
    scores.run(table, output, settings(classes={"seat": ("a stool", "a chair")}))
    assert asked == ["a chair", "a stool"]


def test_no_mask_at_all(asked: list[str], tmp_path: Path) -> None:
    clip = {"model": "tiny", "sha256": checkpoints.find("clip", "tiny").sha256, "views": VIEWS}
    embedding_table.write(tmp_path / "embeddings.parquet", [], 3, {"clip": clip})
    line = scores.run(tmp_path / "embeddings.parquet", tmp_path / "scores.parquet", settings())
    assert line == "scores: 0 masks, 2 classes: chair, table"
    assert score_table.read(tmp_path / "scores.parquet").images == {}


@pytest.mark.parametrize(
    "weights",
    [{"crop": 1.0}, {"crop": 1.0, "masked": 1.0, "blurred": 0.0}, {"crop": 1, "Masked": 1}],
)
def test_weights_name_the_views_that_there_are(
    asked: list[str], table: Path, tmp_path: Path, weights: dict[str, float]
) -> None:
    with pytest.raises(UserError, match=r"scores\.view_weights names .*must name .*crop, masked"):
        scores.run(
            table, tmp_path / "scores.parquet", settings(scores={**PLAIN, "view_weights": weights})
        )
    assert asked == []


def test_embeddings_of_other_weights_are_refused(
    asked: list[str], table: Path, tmp_path: Path
) -> None:
    clip = {"model": "tiny", "sha256": "1" * 64, "views": VIEWS}
    embedding_table.write(table, [], 3, {"clip": clip})
    with pytest.raises(UserError, match=r"made with other weights of CLIP: run `dvc repro`"):
        scores.run(table, tmp_path / "scores.parquet", settings())


def run_without_torch(folder: Path) -> subprocess.CompletedProcess[str]:
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["torch"] = None
runpy.run_module("stages.scores", run_name="__main__")
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"MASKQUERY_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_known_prompts_need_no_torch(asked: list[str], table: Path, tmp_path: Path) -> None:
    scores.run(table, tmp_path / "expected.parquet", settings())
    (tmp_path / "data").mkdir()
    table.rename(tmp_path / "data" / "embeddings.parquet")
    (tmp_path / "params.yaml").write_text(
        """
scores:
  view_weights: {crop: 3, masked: 1}
"""
        + REST
        + "classes: {chair: [a chair, a stool], table: [a table]}"
    )
    done = run_without_torch(tmp_path)
    assert done.stderr == ""
    assert done.stdout == "scores: 3 masks, 2 classes: chair, table\n"
    expected = (tmp_path / "expected.parquet").read_bytes()
    assert (tmp_path / "data" / "scores.parquet").read_bytes() == expected


@pytest.mark.parametrize(
    ("weights", "classes", "message"),
    [
        ("{crop: -1}", "{chair: [a chair]}", r"scores\.view_weights\.crop is -1"),
        ("{crop: 0}", "{chair: [a chair]}", r"scores\.view_weights: must give some view a weight"),
        ("{}", "{chair: [a chair]}", r"scores\.view_weights: must give some view a weight"),
        ("{crop: 1}", "{chair: []}", r"classes\.chair is \[\]"),
        ("{crop: 1}", "{chair: ['']}", r"classes\.chair\[0\] is ''; it must not be empty"),
        ("{crop: 1}", "{chair: a chair}", r"classes\.chair is 'a chair'; it must be a list"),
        ("{crop: 1}", "{}", "classes is {}"),
    ],
)
def test_wrong_params_end_in_one_line_without_torch(
    tmp_path: Path, weights: str, classes: str, message: str
) -> None:
    text = f"scores:\n  view_weights: {weights}\n{REST}classes: {classes}\n"
    (tmp_path / "params.yaml").write_text(text)
    done = run_without_torch(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)
