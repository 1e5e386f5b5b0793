"""The rows of the ablation: whether they go from the report's params to the default's."""

from typing import Any

import yaml

from benchmarks import ablation
from maskquery import presets
from maskquery.core import params
from stages import calibration, embeddings, masks, predictions, scores
from tests.support.builders import ROOT

DEFAULT: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
SECTIONS = dict(ablation.sections(DEFAULT))


def test_the_steps_end_at_the_default() -> None:
    rows = next(iter(SECTIONS.values()))
    assert rows[0] == ("report", ablation.with_keys(DEFAULT, presets.read("report")))
    assert rows[-1][1] == DEFAULT


def test_every_row_differs_from_every_other() -> None:
    for heading, rows in SECTIONS.items():
        documents = [document for _, document in rows]
        assert len({name for name, _ in rows}) == len(rows) > 1, heading
        assert all(documents.count(document) == 1 for document in documents), heading


def test_every_row_is_taken_by_every_stage(tmp_path: Any) -> None:
    path = tmp_path / "params.yaml"
    for rows in SECTIONS.values():
        for _, document in rows:
            path.write_text(yaml.safe_dump(document, sort_keys=False))
            for stage in (masks, embeddings, scores, calibration, predictions):
                params.load(stage.Params, path)


def test_every_row_has_the_same_masks_and_ground_truth() -> None:
    for rows in SECTIONS.values():
        for _, document in rows:
            for key in ("images", "sam", "ground_truth", "calibration", "classes"):
                assert document[key] == DEFAULT[key]


def test_the_bar_and_the_tables_say_the_figures() -> None:
    rows = [
        ablation.Row("report", 0.4, 0.25, 20, 100, {"chair": 0.25}),
        ablation.Row("default", 0.6, 0.5, 5, 100, {"chair": 0.5}),
    ]
    bar = ablation.bar_of(*rows)
    assert bar == (
        "Default against report: mean IoU 0.600 / 0.400 = **1.50** times, chair IoU +0.250, "
        "false positive images 5 / 20 = 0.25 times."
    )
    lines = ablation.table(rows, None).splitlines()
    assert lines[2] == "| report | 0.400 |  | 0.250 |  | 20 of 100 |"
    assert lines[3] == "| default | 0.600 | +0.200 | 0.500 | +0.250 | 5 of 100 |"
