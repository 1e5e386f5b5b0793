"""At the pipeline's own settings the page shows the pipeline's figures, whatever is selected."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from playwright.sync_api import Browser, expect

from maskquery.core import files, params
from maskquery.evaluation import counts, curves
from maskquery.explore.server import overview
from maskquery.explore.settings import Files, Params
from maskquery.explore.workspace import Workspace
from maskquery.selection import thresholds
from stages import metrics, predictions, scores
from tests.explore import site
from tests.explore.conftest import Site
from tests.explore.site import CLASSES, WIDE

pytestmark = pytest.mark.slow

NEUTRAL = site.params()["selection"]
SELECTIONS: dict[str, dict[str, Any]] = {
    "neutral": {},
    "part_share": {"part_share": 0.5},
    "min_region": {"min_region": 0.05},
    "duplicate_iou": {"duplicate_iou": 0.1},
    "exclusive": {"exclusive": "masks"},
    "all": {"part_share": 0.9, "min_region": 0.05, "duplicate_iou": 0.3, "exclusive": "masks"},
}
THRESHOLD = 0.05


class Measured(NamedTuple):
    """A workspace with its metrics."""

    folder: Path
    details: dict[str, Any]
    rows: list[dict[str, str]]

    @property
    def means(self) -> dict[str, float]:
        """Mean IoU of each class that is shown."""
        figures = self.details["classes"].items()
        return {name: own["mean_image_iou"] for name, own in figures if "mean_image_iou" in own}


def measure(
    folder: Path,
    selected: dict[str, Any],
    threshold: float | str = THRESHOLD,
    ignore: tuple[int, ...] = (),
) -> Measured:
    """Run the stages from the scores on, without the oracle, in a workspace."""
    document = site.params()
    document |= {"threshold": threshold, "selection": NEUTRAL | selected}
    document["scores"] = document["scores"] | {"quality": 1.0, "scoring": "softmax"}
    document["ground_truth"]["labels"] |= {name: [9] for name in CLASSES if name.startswith("<")}
    document["ground_truth"]["ignore"] = list(ignore)
    path, data, out = folder / "params.yaml", folder / "data", folder / "metrics"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    found = data / "scores.parquet"
    scores.run(data / "embeddings.parquet", found, params.load(scores.Params, path))
    planes, settings = data / "predictions.zarr", params.load(predictions.Params, path)
    predictions.run(data / "masks.zarr", found, out / "thresholds.json", planes, settings)
    oracle = out / "oracle.json"
    files.write_json(oracle, {"classes": {name: {} for name in CLASSES}})
    names = ("metrics.json", "details.json", "images.csv", "confusion.csv")
    outputs = metrics.Outputs(*(out / name for name in names))
    metrics.run(planes, oracle, outputs, params.load(metrics.Params, path))
    with outputs.images.open(newline="") as rows:
        return Measured(folder, json.loads(outputs.details.read_text()), list(csv.DictReader(rows)))


@pytest.fixture(scope="module")
def folder(workspace: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace."""
    return shutil.copytree(
        workspace.folder, tmp_path_factory.mktemp("selected"), dirs_exist_ok=True
    )


@pytest.fixture
def opened(inside: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", SELECTIONS)
def test_mean_iou_is_that_of_the_metrics(opened: Path, name: str) -> None:
    measured = measure(opened, SELECTIONS[name])
    with Workspace(Files(), params.load(Params)) as found:
        for column, own in enumerate(found.start.classes):
            seen = [found.curve(image, column, found.start) for image in sorted(found.test_split())]
            mean = curves.mean_image_iou(seen).at(THRESHOLD)
            if own in measured.means:
                assert round(mean, counts.DIGITS) == measured.means[own]
            else:
                assert np.isnan(mean)
    assert set(measured.means) == {"chair", "table"}
    if name != "neutral":
        assert measured.means != measure(opened, {}).means, "nothing was selected"


def test_void_counts_for_nothing_here_as_there(opened: Path) -> None:
    measured = measure(opened, {}, ignore=(0,))
    with Workspace(Files(), params.load(Params)) as found:
        for column, name in enumerate(("chair", "table")):
            seen = [found.curve(image, column, found.start) for image in sorted(found.test_split())]
            mean = curves.mean_image_iou(seen).at(THRESHOLD)
            assert round(mean, counts.DIGITS) == measured.means[name]
    assert measured.means != measure(opened, {}).means


def test_a_text_leaves_the_classes_as_they_are(opened: Path) -> None:
    measure(opened, SELECTIONS["all"])
    with Workspace(Files(), params.load(Params)) as found:
        own = found.score(WIDE, found.start)
        more = found.score(WIDE, found.start.model_copy(update={"text": ("a chair",)}))
    assert np.array_equal(own.score, more.score[:, :-1])
    assert np.array_equal(own.eligible, more.eligible[:, :-1])
    assert not own.eligible.all()
    assert more.cosines.shape == (100, 4)


@pytest.mark.parametrize("rule", thresholds.ADAPTIVE)
def test_a_rule_that_looks_at_each_image_is_followed(opened: Path, rule: str) -> None:
    measured = measure(opened, SELECTIONS["all"], rule)
    with Workspace(Files(), params.load(Params)) as found:
        limits = found.adaptive(found.score(WIDE, found.start))
        assert limits is not None
        for name, column in (("chair", 0), ("table", 1)):
            curve = found.curve(WIDE, column, found.start)
            (row,) = [r for r in measured.rows if r["image"] == WIDE and r["class"] == name]
            value = curves.mean_image_iou([curve]).at(float(limits[column]))
            assert round(value, counts.DIGITS) == float(row["iou"])


def test_what_cannot_be_followed_is_said(opened: Path) -> None:
    for exclusive, said in (("pixels", True), ("masks", False), ("none", False)):
        measure(opened, {"exclusive": exclusive})
        with Workspace(Files(), params.load(Params)) as found:
            assert bool(overview(found)["note"]) == said


@pytest.fixture(params=[THRESHOLD])
def page_of_all(
    browser: Browser, opened: Path, workspace: Site, request: pytest.FixtureRequest
) -> Iterator[tuple[Any, Measured]]:
    measured = measure(opened, SELECTIONS["all"], request.param)
    with site.serving(opened, workspace.cache) as server:
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{server.url}/#image={WIDE}")
        expect(page.locator("#image-title")).to_have_text(WIDE)
        yield page, measured
        context.close()


def test_the_page_shows_what_the_metrics_say(page_of_all: tuple[Any, Measured]) -> None:
    page, measured = page_of_all
    for name in ("chair", "table"):
        page.get_by_role("combobox", name="Class").select_option(name)
        expect(page.locator("#ranked")).to_have_text("3 images")
        (row,) = [row for row in measured.rows if (row["image"], row["class"]) == (WIDE, name)]
        expect(page.locator("#figure")).to_have_text(f"IoU {float(row['iou']):.3f}")
        for key in ("tp", "fn", "fp"):
            text = page.locator(f"#{key}-count").text_content()
            assert re.sub(r"\D", "", text) == row[key]
        mean = f"Mean IoU {measured.means[name]:.3f} over the 2 images"
        expect(page.locator("#mean")).to_contain_text(mean)
    left_out = page.locator("#mask-list button.left-out")
    assert 0 < left_out.count() < 100
    left_out.first.focus()
    expect(page.locator("#reason")).to_contain_text("Left out: ")
    expect(left_out.first).not_to_have_class(re.compile("chosen"))
    expect(page.locator("#adaptive")).to_be_hidden()


@pytest.mark.parametrize("page_of_all", ["otsu"], indirect=True)
def test_a_button_takes_the_threshold_of_the_image(page_of_all: tuple[Any, Measured]) -> None:
    page, measured = page_of_all
    for name in ("table", "chair"):
        page.get_by_role("combobox", name="Class").select_option(name)
        page.get_by_role("button", name=re.compile(r"^otsu in this image: 0\.\d+$")).click()
        (row,) = [row for row in measured.rows if (row["image"], row["class"]) == (WIDE, name)]
        expect(page.locator("#figure")).to_have_text(f"IoU {float(row['iou']):.3f}")
