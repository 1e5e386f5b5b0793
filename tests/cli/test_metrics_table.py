import json
from pathlib import Path

import pytest

from maskquery import metrics_table
from maskquery.core.errors import UserError
from tests.support.builders import ROOT


def test_the_mean_stands_above_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    details = json.loads(metrics_table.DETAILS.read_text())
    lines = metrics_table.main([]).splitlines()
    mean = details["overall"]["mean_image_iou"]
    assert lines[1].split()[:5] == [
        "mean",
        "of",
        str(len(details["classes"])),
        "classes",
        f"{mean:.3f}",
    ]
    assert [line.split()[0] for line in lines[2:-2]] == list(details["classes"])


def test_without_ground_truth_there_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    metrics_table.DETAILS.parent.mkdir()
    metrics_table.DETAILS.write_text('{"classes": {"a\\nb": {"masks": 3}}}')
    lines = metrics_table.main([]).splitlines()
    assert lines[1].split() == ["a\\nb", *["-"] * 7]
    assert "mean of" not in "".join(lines)


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"metrics/details\.json cannot be read: run `dvc repro`"):
        metrics_table.main([])
