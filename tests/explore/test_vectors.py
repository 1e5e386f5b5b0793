import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskquery.explore import vectors
from maskquery.tables import embedding_table
from tests.explore.conftest import Site
from tests.explore.site import EMPTY, VIEWS, WEIGHTS, WIDE

OWN = [WEIGHTS[view] for view in VIEWS]


@pytest.fixture
def table(workspace: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(os.environ, "MASKQUERY_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copy(workspace.folder / "data/embeddings.parquet", tmp_path))


def expected(table: Path, weights: list[float]) -> tuple[np.ndarray, np.ndarray]:
    (rows,) = embedding_table.read(table)
    stack = rows.embeddings.reshape(-1, len(weights), 128).astype(np.float64)
    return rows.ids[:: len(weights)], (stack * np.array(weights)[:, None]).sum(axis=1)


def test_a_mask_has_the_weighted_mean_of_its_views(table: Path) -> None:
    found = vectors.load(table, VIEWS, [1.0, 3.0])  # ratios count
    ids, means = expected(table, OWN)
    assert isinstance(found.means, np.memmap)
    assert np.array_equal(found.ids, ids)
    np.testing.assert_allclose(found.means, means, atol=1e-6)
    np.testing.assert_allclose(found.lengths, np.linalg.norm(means, axis=1), rtol=1e-5)


def test_rows_and_names_belong_together(table: Path, workspace: Site) -> None:
    found = vectors.load(table, VIEWS, OWN)
    rows = found.rows(WIDE)
    assert set(found.ids[rows].tolist()) == set(workspace.masks[WIDE].ids.tolist())
    assert {found.name(row)[0] for row in range(rows.start, rows.stop)} == {WIDE}
    assert found.rows(EMPTY) == found.rows("unknown") == slice(0, 0)


def test_a_text_finds_what_comparing_with_all_would_find(table: Path) -> None:
    found = vectors.load(table, VIEWS, OWN)
    text = np.random.default_rng(1).normal(size=128).astype(np.float32)
    text /= np.linalg.norm(text)
    similarity = expected(table, OWN)[1] @ text
    hits = found.like_text(text, 7)
    assert [row for row, _ in hits] == np.argsort(-similarity)[:7].tolist()
    np.testing.assert_allclose([value for _, value in hits], np.sort(similarity)[::-1][:7], 1e-4)
    assert len(found.like_text(text, 10**6)) == len(found.ids)


def test_a_mask_finds_itself_first_and_then_by_the_cosine(table: Path) -> None:
    found = vectors.load(table, VIEWS, OWN)
    means = expected(table, OWN)[1]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    hits = found.like_mask(5, 9)
    assert hits[0][0] == 5
    assert hits[0][1] == pytest.approx(1, abs=1e-6)
    assert [row for row, _ in hits] == np.argsort(-(means @ means[5]))[:9].tolist()


def test_of_equals_the_first_come_first() -> None:
    same = np.tile(np.array([[0.6, 0.8]], np.float32), (5, 1))
    found = vectors.Vectors(("a",), np.array([0, 5]), np.arange(5, dtype=np.uint64), same,
                            np.ones(5, np.float32))  # fmt: skip
    assert [row for row, _ in found.like_text(np.array([1, 0], np.float32), 3)] == [0, 1, 2]


def test_the_files_are_made_once_and_anew_for_another_table_or_other_weights(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vectors.load(table, VIEWS, OWN)
    with monkeypatch.context() as patch:
        patch.setattr(vectors, "_make", None)
        assert np.array_equal(vectors.load(table, VIEWS, OWN).means, first.means)
    assert not np.array_equal(vectors.load(table, VIEWS, [1.0, 0.0]).means, first.means)
    rows = list(embedding_table.read(table))
    assert len(rows[0].ids) == 2 * len(first.ids)
    table.unlink()
    embedding_table.write(table, [], 128, {})
    assert len(vectors.load(table, VIEWS, OWN).ids) == 0
