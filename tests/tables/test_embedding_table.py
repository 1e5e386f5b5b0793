from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskquery.masks.packed import ImageMasks
from maskquery.tables import embedding_table, parquet
from tests.support.builders import loaded_modules, masks_of, random_stack

RNG = np.random.default_rng(0)
VIEWS = ("crop", "masked")
METADATA = {"clip": "tiny", "sha256": "00ff", "crop_padding": 0.1}


def rooms(*counts: int) -> list[ImageMasks]:
    stacks = {f"room_{n}": random_stack(RNG, count, 9, 12) for n, count in enumerate(counts)}
    return [masks_of(image, stack) for image, stack in stacks.items()]


def embeddings_of(masks: ImageMasks, dimensions: int = 5) -> npt.NDArray[np.float32]:
    return RNG.normal(size=(len(masks.ids), len(VIEWS), dimensions)).astype(np.float32)


def write_embeddings(path: Path, images: list[ImageMasks]) -> list[npt.NDArray[np.float32]]:
    vectors = [embeddings_of(masks) for masks in images]
    rows = [embedding_table.rows_of(m, VIEWS, v) for m, v in zip(images, vectors, strict=True)]
    count = embedding_table.write(path, rows, 5, METADATA)
    assert count == sum(table.num_rows for table in rows)
    return vectors


def test_any_parquet_reader_sees_a_row_for_each_mask_and_view(tmp_path: Path) -> None:
    images = rooms(2, 0, 3)
    vectors = write_embeddings(tmp_path / "e.parquet", images)
    expected = [
        {
            "image": masks.image,
            "mask_id": int(masks.ids[n]),
            "view": view,
            "box": masks.boxes[n].tolist(),
            "area": int(masks.areas[n]),
            "predicted_iou": float(masks.predicted_iou[n]),
            "stability_score": float(masks.stability_score[n]),
            "embedding": vectors[index][n, v].tolist(),
        }
        for index, masks in enumerate(images)
        for n in range(len(masks.ids))
        for v, view in enumerate(VIEWS)
    ]
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.to_pylist() == expected
    assert str(table.schema.field("image").type).startswith("dictionary<values=string")
    assert table.schema.field("embedding").type.list_size == 5
    assert parquet.read_metadata(tmp_path / "e.parquet") == METADATA


@pytest.mark.parametrize("group_rows", [1, 3, 4, 100])
def test_rows_come_back_whatever_the_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(embedding_table, "GROUP_ROWS", group_rows)
    images = rooms(2, 3, 0, 1)
    vectors = write_embeddings(tmp_path / "e.parquet", images)
    parts = list(embedding_table.read(tmp_path / "e.parquet"))
    assert [len(part.ids) for part in parts[:-1]] == [group_rows] * (len(parts) - 1)
    result = np.concatenate([part.embeddings for part in parts])
    np.testing.assert_array_equal(result, np.concatenate([v.reshape(-1, 5) for v in vectors]))
    ids = np.concatenate([part.ids for part in parts])
    assert ids.tolist() == [int(i) for masks in images for i in masks.ids for _ in VIEWS]
    names = np.concatenate([part.images for part in parts])
    assert names.tolist() == ["room_0"] * 4 + ["room_1"] * 6 + ["room_3"] * 2
    assert np.concatenate([part.views for part in parts]).tolist() == list(VIEWS) * 6


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", rooms(0))
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0
    assert pq.read_schema(tmp_path / "e.parquet").field("embedding").type.list_size == 5
    assert list(embedding_table.read(tmp_path / "e.parquet")) == []


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    images = rooms(2, 3)
    rows = [embedding_table.rows_of(masks, VIEWS, embeddings_of(masks)) for masks in images]
    embedding_table.write(tmp_path / "a", rows, 5, {"x": 1, "y": 2})
    embedding_table.write(tmp_path / "b", [pa.concat_tables(rows)], 5, {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_of_other_shapes_are_refused() -> None:
    (masks,) = rooms(2)
    with pytest.raises(ValueError, match=r"room_0: embeddings \(3, 2, 5\), 2 masks"):
        embedding_table.rows_of(masks, VIEWS, np.zeros((3, 2, 5), np.float32))


def test_reading_imports_neither_pandas_nor_torch(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", rooms(2))
    code = "from maskquery.tables.embedding_table import read; list(read(Path(sys.argv[1])))"
    assert not loaded_modules(code, tmp_path / "e.parquet") & {"pandas", "torch", "zarr"}
