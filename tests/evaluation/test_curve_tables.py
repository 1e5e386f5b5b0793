import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskquery.core.errors import UserError
from maskquery.evaluation import curve_tables, curves
from maskquery.masks.packed import pack

CLASSES = ["chair", "lamp", "never"]


def random_images(seed: int) -> list[list[curves.ImageCurve]]:
    """Three images; `never` is in none, `lamp` in the first two."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(3):
        masks = pack(rng.random((12, 6, 10)) < 0.2)
        scores = rng.random((12, 3)).astype(np.float32)
        true = rng.random((3, 6, 10)) < 0.3
        true[2] = False
        true[1] &= number < 2
        images.append([curves.image_curve(masks, scores[:, c], pack(true[c])) for c in range(3)])
    return images


def rows_of(table: str) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(table.splitlines())]


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_every_row_is_exact_and_every_maximum_is_there(seed: int) -> None:
    images = random_images(seed)
    rows = rows_of(curve_tables.iou_table(images, CLASSES))
    assert list(rows[0]) == ["threshold", "all classes", "chair", "lamp"]
    assert len(rows) <= curve_tables.ROWS + 2
    assert [row["threshold"] for row in rows] == sorted({row["threshold"] for row in rows})
    for index, name in enumerate(CLASSES[:2]):
        curve = curves.mean_image_iou([each[index] for each in images])
        for row in rows:
            assert row[name] == pytest.approx(curve.at(row["threshold"]), abs=1e-6)
        assert max(row[name] for row in rows) == pytest.approx(curve.best()[1], abs=1e-6)
    for row in rows:
        assert row["all classes"] == pytest.approx((row["chair"] + row["lamp"]) / 2, abs=2e-6)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_precision_and_recall_are_those_of_all_pixels(seed: int) -> None:
    images = random_images(seed)
    rows = rows_of(curve_tables.precision_recall_table(images, CLASSES))
    assert list(rows[0]) == [
        "threshold", "precision", "recall", "chair precision", "chair recall", "lamp precision",
        "lamp recall",
    ]  # fmt: skip
    chair = curves.pool([each[0] for each in images])
    everything = curves.pool([curve for each in images for curve in each])
    for row in rows[:-1]:
        if not np.isnan(chair.precision.at(row["threshold"])):
            expected = chair.precision.at(row["threshold"])
            assert row["chair precision"] == pytest.approx(expected, abs=1e-6)
        assert row["chair recall"] == pytest.approx(chair.recall.at(row["threshold"]), abs=1e-6)
        assert row["recall"] == pytest.approx(everything.recall.at(row["threshold"]), abs=1e-6)
    assert (rows[-1]["precision"], rows[-1]["recall"]) == (1.0, 0.0)
    f1 = max(
        2 * r["chair precision"] * r["chair recall"] / (r["chair precision"] + r["chair recall"])
        for r in rows
        if r["chair recall"]
    )
    iou = chair.iou.best()[1]
    assert f1 == pytest.approx(2 * iou / (1 + iou), abs=1e-5)


def test_without_an_image_there_is_a_header_alone() -> None:
    assert curve_tables.iou_table([], CLASSES) == "threshold,all classes\n"
    assert curve_tables.precision_recall_table([], CLASSES) == "threshold\n"


@pytest.mark.parametrize("name", ["threshold", "all classes"])
def test_a_class_has_no_name_of_another_column(name: str) -> None:
    with pytest.raises(UserError, match=f"classes.{name}: '{name}' is the name of another column"):
        curve_tables.expect_names(["chair", name])
