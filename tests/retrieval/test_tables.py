import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval import tables
from retrieval.errors import UserError
from retrieval.masks import ImageMasks
from tests.builders import masks_of, random_stack

RNG = np.random.default_rng(0)
VIEWS = ("crop", "masked")
CLASSES = ["sofa", "chair", "a lamp"]
METADATA = {"clip": "tiny", "sha256": "00ff", "crop_padding": 0.1}


def rooms(*counts: int) -> list[ImageMasks]:
    stacks = {f"room_{n}": random_stack(RNG, count, 9, 12) for n, count in enumerate(counts)}
    return [masks_of(image, stack) for image, stack in stacks.items()]


def embeddings_of(masks: ImageMasks, dimensions: int = 5) -> npt.NDArray[np.float32]:
    return RNG.normal(size=(len(masks.ids), len(VIEWS), dimensions)).astype(np.float32)


def write_embeddings(path: Path, images: list[ImageMasks]) -> list[npt.NDArray[np.float32]]:
    vectors = [embeddings_of(masks) for masks in images]
    rows = [tables.embedding_rows(m, VIEWS, v) for m, v in zip(images, vectors, strict=True)]
    count = tables.write_embeddings(path, rows, 5, METADATA)
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
    assert tables.read_metadata(tmp_path / "e.parquet") == METADATA


@pytest.mark.parametrize("group_rows", [1, 3, 4, 100])
def test_rows_come_back_whatever_the_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(tables, "EMBEDDING_GROUP_ROWS", group_rows)
    images = rooms(2, 3, 0, 1)
    vectors = write_embeddings(tmp_path / "e.parquet", images)
    parts = list(tables.read_embeddings(tmp_path / "e.parquet"))
    assert [len(part.ids) for part in parts[:-1]] == [group_rows] * (len(parts) - 1)
    found = np.concatenate([part.embeddings for part in parts])
    np.testing.assert_array_equal(found, np.concatenate([v.reshape(-1, 5) for v in vectors]))
    ids = np.concatenate([part.ids for part in parts])
    assert ids.tolist() == [int(i) for masks in images for i in masks.ids for _ in VIEWS]
    names = np.concatenate([part.images for part in parts])
    assert names.tolist() == ["room_0"] * 4 + ["room_1"] * 6 + ["room_3"] * 2
    assert np.concatenate([part.views for part in parts]).tolist() == list(VIEWS) * 6


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", rooms(0))
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0
    assert pq.read_schema(tmp_path / "e.parquet").field("embedding").type.list_size == 5
    assert list(tables.read_embeddings(tmp_path / "e.parquet")) == []


def write_scores(
    path: Path, images: list[ImageMasks], classes: list[str] = CLASSES
) -> dict[str, npt.NDArray[np.float32]]:
    similarity = {
        masks.image: RNG.uniform(-1, 1, (len(masks.ids), len(classes))).astype(np.float32)
        for masks in images
    }
    rows = [tables.score_rows(m.image, m.ids, classes, similarity[m.image]) for m in images]
    tables.write_scores(path, rows, classes, METADATA)
    return similarity


def test_any_parquet_reader_sees_a_row_for_each_mask_and_class(tmp_path: Path) -> None:
    images = rooms(2, 0, 1)
    similarity = write_scores(tmp_path / "s.parquet", images)
    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == [
        {
            "image": masks.image,
            "mask_id": int(masks.ids[n]),
            "class": name,
            "similarity": float(similarity[masks.image][n, c]),
        }
        for masks in images
        for n in range(len(masks.ids))
        for c, name in enumerate(CLASSES)
    ]
    assert tables.read_metadata(tmp_path / "s.parquet") == {**METADATA, "classes": CLASSES}


@pytest.mark.parametrize("group_rows", [1, 4, 100])
def test_scores_come_back_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(tables, "SCORE_GROUP_ROWS", group_rows)
    images = rooms(2, 0, 3, 1)
    similarity = write_scores(tmp_path / "s.parquet", images)
    found = tables.read_scores(tmp_path / "s.parquet")
    assert found.classes == tuple(CLASSES)
    assert list(found.images) == ["room_0", "room_2", "room_3"]
    for masks in images:
        if len(masks.ids):
            assert found.images[masks.image].ids.tolist() == masks.ids.tolist()
            np.testing.assert_array_equal(
                found.images[masks.image].similarity, similarity[masks.image]
            )


def test_scores_of_images_without_masks_are_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.parquet", rooms(0))
    assert tables.read_scores(tmp_path / "s.parquet") == tables.Scores(tuple(CLASSES), {})


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    images = rooms(2, 3)
    rows = [tables.embedding_rows(masks, VIEWS, embeddings_of(masks)) for masks in images]
    tables.write_embeddings(tmp_path / "a", rows, 5, {"x": 1, "y": 2})
    tables.write_embeddings(tmp_path / "b", [pa.concat_tables(rows)], 5, {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_of_other_shapes_are_refused() -> None:
    (masks,) = rooms(2)
    with pytest.raises(ValueError, match=r"room_0: embeddings \(3, 2, 5\), 2 masks"):
        tables.embedding_rows(masks, VIEWS, np.zeros((3, 2, 5), np.float32))
    with pytest.raises(ValueError, match=r"room_0: similarity \(2, 1\), 2 x 3"):
        tables.score_rows("room_0", masks.ids, CLASSES, np.zeros((2, 1), np.float32))


def test_scores_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(2, 2))
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, *range(2, 12)]), path)
    with pytest.raises(UserError, match="do not go through the classes"):
        tables.read_scores(path)
    pq.write_table(table.take([0, 4, 2, 3, 1, 5, *range(6, 12)]), path)
    with pytest.raises(UserError, match="rows of a mask do not stand together"):
        tables.read_scores(path)
    pq.write_table(table.take([*range(3), *range(6, 12), *range(3, 6)]), path)
    with pytest.raises(UserError, match="rows of image 'room_0' do not stand together"):
        tables.read_scores(path)
    pq.write_table(table.slice(0, 11), path)
    with pytest.raises(UserError, match="11 rows for 3 classes"):
        tables.read_scores(path)


def test_files_of_other_columns_or_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(2))
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["similarity"]), path)
    with pytest.raises(UserError, match=r"s\.parquet cannot be used \(no column similarity\)"):
        tables.read_scores(path)
    pq.write_table(table.cast(table.schema.set(3, pa.field("similarity", pa.float64()))), path)
    with pytest.raises(UserError, match="columns are of other types"):
        tables.read_scores(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(UserError, match="its metadata is not this program's"):
        tables.read_scores(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    for read in (tables.read_scores, tables.read_metadata):
        with pytest.raises(UserError, match=r"s\.parquet is missing: run `dvc repro`"):
            read(path)
    write_scores(path, rooms(2))
    good = path.read_bytes()
    for length in (0, 3, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(UserError, match=r"s\.parquet cannot be used"):
            tables.read_scores(path)


def test_damaged_pages_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(3))
    good = path.read_bytes()
    expected = tables.read_scores(path).images["room_0"]
    first = pq.read_metadata(path).row_group(0).column(3).data_page_offset
    for position in range(first, first + 60):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            found = tables.read_scores(path).images["room_0"]
        except UserError:
            continue
        np.testing.assert_array_equal(found.similarity, expected.similarity)


def test_reading_imports_neither_pandas_nor_torch(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.parquet", rooms(2))
    write_embeddings(tmp_path / "e.parquet", rooms(2))
    code = (
        "import sys; from pathlib import Path; from retrieval import tables;"
        f"tables.read_scores(Path({str(tmp_path)!r}, 's.parquet'));"
        f"list(tables.read_embeddings(Path({str(tmp_path)!r}, 'e.parquet')));"
        "assert not {'pandas', 'torch', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
