from pathlib import Path

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.masks.packed import ImageMasks, image_masks
from maskquery.scoring import mask_embeddings
from maskquery.tables import embedding_table

VIEWS = ("crop", "masked")


def some_masks(image: str, count: int) -> ImageMasks:
    masks = np.arange(1, count + 1, dtype=np.uint8).reshape(-1, 1, 1)
    scores = np.zeros(count)
    points = np.zeros((count, 2))
    return image_masks(image, 8, masks, predicted_iou=scores, stability_score=scores, points=points)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, np.ndarray]]:
    """Images of 1 to 7 masks in row groups of 3 rows; the embeddings by image."""
    monkeypatch.setattr(embedding_table, "GROUP_ROWS", 3)
    rng = np.random.default_rng(0)
    expected, rows = {}, []
    for count, image in enumerate("abcdefg", start=1):
        expected[image] = rng.standard_normal((count, 2, 4)).astype(np.float32)
        rows.append(embedding_table.rows_of(some_masks(image, count), VIEWS, expected[image]))
    path = tmp_path / "embeddings.parquet"
    embedding_table.write(path, rows, 4, {})
    return path, expected


def test_images_are_whole_wherever_row_groups_end(
    table: tuple[Path, dict[str, np.ndarray]],
) -> None:
    path, expected = table
    read = list(mask_embeddings.read(path, VIEWS))
    assert [stack.image for stack in read] == list(expected)
    for stack in read:
        np.testing.assert_array_equal(stack.embeddings, expected[stack.image])
        np.testing.assert_array_equal(stack.ids, some_masks("", len(stack.ids)).ids)


@pytest.mark.parametrize("views", [("masked", "crop"), ("crop",), ("crop", "masked", "blurred")])
def test_other_views_are_refused(
    table: tuple[Path, dict[str, np.ndarray]], views: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match=r"embeddings\.parquet: the rows of image 'a' are not"):
        list(mask_embeddings.read(table[0], views))


def test_no_rows(tmp_path: Path) -> None:
    embedding_table.write(tmp_path / "embeddings.parquet", [], 4, {})
    assert list(mask_embeddings.read(tmp_path / "embeddings.parquet", VIEWS)) == []
