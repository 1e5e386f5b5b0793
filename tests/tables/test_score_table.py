from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskquery.core.errors import UserError
from maskquery.masks.packed import ImageMasks
from maskquery.tables import parquet, score_table
from tests.support.builders import loaded_modules, masks_of, random_stack

RNG = np.random.default_rng(0)
CLASSES = ["sofa", "chair", "a lamp"]
METADATA = {"clip": "tiny", "sha256": "00ff", "crop_padding": 0.1}


def rooms(*counts: int) -> list[ImageMasks]:
    stacks = {f"room_{n}": random_stack(RNG, count, 9, 12) for n, count in enumerate(counts)}
    return [masks_of(image, stack) for image, stack in stacks.items()]


def write_scores(
    path: Path, images: list[ImageMasks], classes: list[str] = CLASSES
) -> dict[str, npt.NDArray[np.float32]]:
    similarity = {
        masks.image: RNG.uniform(-1, 1, (len(masks.ids), len(classes))).astype(np.float32)
        for masks in images
    }
    rows = [
        score_table.rows_of(m.image, m.ids, classes, similarity[m.image], similarity[m.image] / 2)
        for m in images
    ]
    score_table.write(path, rows, classes, METADATA)
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
            "score": float(similarity[masks.image][n, c] / 2),
        }
        for masks in images
        for n in range(len(masks.ids))
        for c, name in enumerate(CLASSES)
    ]
    assert parquet.read_metadata(tmp_path / "s.parquet") == {**METADATA, "classes": CLASSES}


@pytest.mark.parametrize("group_rows", [1, 4, 100])
def test_scores_come_back_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(score_table, "GROUP_ROWS", group_rows)
    images = rooms(2, 0, 3, 1)
    similarity = write_scores(tmp_path / "s.parquet", images)
    result = score_table.read(tmp_path / "s.parquet")
    assert result.classes == tuple(CLASSES)
    assert list(result.images) == ["room_0", "room_2", "room_3"]
    for masks in images:
        if len(masks.ids):
            assert result.images[masks.image].ids.tolist() == masks.ids.tolist()
            np.testing.assert_array_equal(
                result.images[masks.image].similarity, similarity[masks.image]
            )
            np.testing.assert_array_equal(
                result.images[masks.image].score, similarity[masks.image] / 2
            )


def test_scores_of_images_without_masks_are_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.parquet", rooms(0))
    assert score_table.read(tmp_path / "s.parquet") == score_table.Scores(tuple(CLASSES), {})


def test_a_table_without_images_is_read(tmp_path: Path) -> None:
    assert score_table.write(tmp_path / "s.parquet", [], CLASSES, METADATA) == 0
    assert pq.read_metadata(tmp_path / "s.parquet").num_row_groups == 0
    assert score_table.read(tmp_path / "s.parquet") == score_table.Scores(tuple(CLASSES), {})


def test_arrays_of_other_shapes_are_refused() -> None:
    (masks,) = rooms(2)
    with pytest.raises(ValueError, match=r"room_0: similarity \(2, 1\), 2 x 3"):
        score_table.rows_of("room_0", masks.ids, CLASSES, *np.zeros((2, 2, 1), np.float32))


def test_scores_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(2, 2))
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, *range(2, 12)]), path)
    with pytest.raises(UserError, match="are not those of the classes"):
        score_table.read(path)
    pq.write_table(table.take([0, 4, 2, 3, 1, 5, *range(6, 12)]), path)
    with pytest.raises(UserError, match="rows of a mask are not contiguous"):
        score_table.read(path)
    pq.write_table(table.take([*range(3), *range(6, 12), *range(3, 6)]), path)
    with pytest.raises(UserError, match="rows of image 'room_0' are not contiguous"):
        score_table.read(path)
    pq.write_table(table.slice(0, 11), path)
    with pytest.raises(UserError, match="11 rows for 3 classes"):
        score_table.read(path)


def test_files_of_other_columns_or_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(2))
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["similarity"]), path)
    with pytest.raises(UserError, match=r"s\.parquet cannot be used \(no column similarity\)"):
        score_table.read(path)
    pq.write_table(table.cast(table.schema.set(3, pa.field("similarity", pa.float64()))), path)
    with pytest.raises(UserError, match="columns are of other types"):
        score_table.read(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(UserError, match="its metadata is not this program's"):
        score_table.read(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    for read in (score_table.read, parquet.read_metadata):
        with pytest.raises(UserError, match=r"s\.parquet is missing: run `dvc repro`"):
            read(path)
    write_scores(path, rooms(2))
    good = path.read_bytes()
    for length in (0, 3, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(UserError, match=r"s\.parquet cannot be used"):
            score_table.read(path)


def test_damaged_pages_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, rooms(3))
    good = path.read_bytes()
    expected = score_table.read(path).images["room_0"]
    first = pq.read_metadata(path).row_group(0).column(3).data_page_offset
    for position in range(first, first + 60):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            result = score_table.read(path).images["room_0"]
        except UserError:
            continue
        np.testing.assert_array_equal(result.similarity, expected.similarity)


def test_reading_imports_neither_pandas_nor_torch(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.parquet", rooms(2))
    code = "from maskquery.tables.score_table import read; read(Path(sys.argv[1]))"
    assert not loaded_modules(code, tmp_path / "s.parquet") & {"pandas", "torch", "zarr"}


IDS = st.lists(st.integers(0, 2**64 - 1), unique=True)


@given(IDS, st.randoms())
def test_ids_are_located_in_any_order(ids: list[int], random: Random) -> None:
    among = ids.copy()
    random.shuffle(among)
    result = score_table.locate(np.array(ids, np.uint64), np.array(among, np.uint64))
    assert result is not None
    assert [among[place] for place in result] == ids


@pytest.mark.parametrize(
    ("ids", "among"),
    [([1, 2], [1]), ([1], [1, 2]), ([1, 2], [1, 3]), ([1, 1], [1, 1]), ([1, 2, 2], [1, 1, 2])],
)
def test_other_ids_and_ids_given_twice_are_not_located(ids: list[int], among: list[int]) -> None:
    assert score_table.locate(np.array(ids, np.uint64), np.array(among, np.uint64)) is None
