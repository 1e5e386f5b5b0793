"""A flipped byte anywhere in what a stage reads is noticed, or changes nothing that is read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions
from maskquery.models import checkpoints
from maskquery.tables import embedding_table, parquet, score_table
from tests.support.builders import masks_of, random_stack

STEP = 3  # every so many bytes; each of them with another bit

RNG = np.random.default_rng(0)


def plain(value: Any) -> Any:
    """A value that compares by what it holds."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(vars(value)) if hasattr(value, "__dataclass_fields__") else value


def expect_no_silent_damage(path: Path, read: Callable[[], Any], step: int = STEP) -> None:
    """Flip one bit after the other."""
    good, expected = path.read_bytes(), plain(read())
    noticed = 0
    for place in range(0, len(good), step):
        bit = 1 << (place // step) % 8
        path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
        try:
            found = plain(read())
        except UserError as error:
            assert str(path.parent) in str(error)  # noqa: PT017 - harmless flips raise nothing
            noticed += 1
        else:
            assert found == expected, f"byte {place}"
    assert noticed > len(good) / step / 4
    path.write_bytes(good)


@pytest.mark.slow
def test_stores(tmp_path: Path) -> None:
    """Of several images in a file: none of them goes missing unnoticed."""
    names = [f"r{n}" for n in range(2000) if mask_store.shard_of(f"r{n}") == "3f"][:2]
    folder = tmp_path / "masks.zarr"
    stacks = [masks_of(name, random_stack(RNG, 2, 5, 11), sam={"model": "tiny"}) for name in names]
    mask_store.MaskStore.write(folder, stacks)

    def read() -> Any:
        with mask_store.MaskStore(folder) as store:
            return [(store.columns(image), store.read(image)) for image in store.images()]

    expect_no_silent_damage(folder / "3f.zip", read)
    expect_no_silent_damage(folder / "zarr.json", read, step=1)


def test_predictions(tmp_path: Path) -> None:
    planes = masks_of("room", random_stack(RNG, 2, 5, 11)).masks
    ids, scores = np.arange(3, dtype=np.uint64), RNG.random(3).astype(np.float32)
    record = ImagePredictions("room", 5, 11, ("chair", "bed"), planes, 7, (1, 2), ids, scores)
    folder = tmp_path / "predictions.zarr"
    mask_store.PredictionStore.write(folder, [record])

    def read() -> Any:
        with mask_store.PredictionStore(folder) as store:
            return [store.read(image) for image in store.images()]

    expect_no_silent_damage(next(folder.glob("*.zip")), read)
    expect_no_silent_damage(folder / "zarr.json", read, step=1)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 100])
@pytest.mark.parametrize("kind", ["embeddings", "scores"])
def test_tables(tmp_path: Path, kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one row group and of several, whose columns could be mistaken for each other."""
    monkeypatch.setattr(embedding_table, "GROUP_ROWS", rows)
    monkeypatch.setattr(score_table, "GROUP_ROWS", rows)
    path = tmp_path / "t.parquet"
    stacks = [masks_of(name, random_stack(RNG, 2, 5, 11)) for name in ("a", "b")]
    metadata = {"sam": {"model": "tiny"}}
    vectors = RNG.random((2, 2, 4)).astype(np.float32)
    if kind == "embeddings":
        tables = [embedding_table.rows_of(stack, ["crop", "masked"], vectors) for stack in stacks]
        embedding_table.write(path, tables, 4, metadata)
    else:
        tables = [
            score_table.rows_of(stack.image, stack.ids, ["chair", "bed"], *[vectors[..., 0]] * 2)
            for stack in stacks
        ]
        score_table.write(path, tables, ["chair", "bed"], metadata)

    def read() -> Any:
        own = list(embedding_table.read(path)) if kind == "embeddings" else score_table.read(path)
        return own, parquet.read_metadata(path)

    expect_no_silent_damage(path, read)


@pytest.mark.parametrize("kind", ["sam", "clip"])
def test_checkpoints(
    tmp_path: Path, kind: checkpoints.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never loaded, wherever the damage is: the whole file is hashed before."""
    shutil.copytree(checkpoints.SHIPPED, tmp_path / "weights")
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "weights")
    path = checkpoints.fetch(kind, "tiny")
    size = path.stat().st_size
    for place in (0, 8, size // 3, size - 1):
        with path.open("r+b") as file:
            file.seek(place)
            good = file.read(1)
            file.seek(place)
            file.write(bytes([good[0] ^ 1]))
        with pytest.raises(UserError, match="is not the file that this code knows"):
            checkpoints.fetch(kind, "tiny")
        with path.open("r+b") as file:
            file.seek(place)
            file.write(good)
    assert checkpoints.fetch(kind, "tiny") == path
