"""`dvc exp run` with another threshold, and what DVC shows of it."""

import csv
import json
import re
from typing import Any, NamedTuple

import pandas as pd
import pytest

from tests.pipeline.conftest import Made
from tests.pipeline.recomputed import flat, metrics_of
from tests.support.workspace import STAGES, Done, Workspace

SHORT = "metrics/metrics.json"


class Experiment(NamedTuple):
    """A workspace after one experiment, with the thresholds before and after."""

    workspace: Workspace
    run: Done
    before: float
    after: float

    def dvc_json(self, *arguments: str) -> Any:
        """What DVC prints as JSON."""
        return json.loads(self.workspace.dvc(*arguments).output)


@pytest.fixture(scope="module")
def experiment(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    workspace = made.workspace.copy(tmp_path_factory.mktemp("experiment") / "repository")
    scores = pd.read_parquet(workspace.path("data/scores.parquet"))
    before = workspace.params()["threshold"]
    # Half of the chair's masks above it, or a quarter, whatever the models are.
    chair = scores[scores["class"] == "chair"]["score"]
    after = next(x for x in chair.quantile([0.5, 0.75]).round(4).tolist() if x != before)
    run = workspace.dvc("exp", "run", "-S", f"threshold={after}")
    return Experiment(workspace, run, before, after)


def test_only_what_depends_on_the_threshold_is_run(experiment: Experiment) -> None:
    assert experiment.run.ran == ["predictions", "metrics", "overlays"]
    ran = experiment.run.ran
    assert experiment.run.skipped == [name for name in STAGES if name not in ran]
    assert experiment.workspace.params()["threshold"] == experiment.after


def test_its_metrics_are_right(experiment: Experiment) -> None:
    expect_right(experiment.workspace)
    found = read_metrics(experiment.workspace)
    assert 0 < found["classes.chair.masks"] < read_metrics(experiment.workspace, SHORT)["masks"]


def test_the_metrics_before_were_right(made: Made) -> None:
    expect_right(made.workspace)


def expect_right(workspace: Workspace) -> None:
    """All figures but those of a random draw and of the oracle are recomputed."""
    found, expected = read_metrics(workspace), metrics_of(workspace.folder)
    other = re.compile(r"(^|\.)(interval|oracle|iou_gap)\.|auroc$")
    assert {k: v for k, v in found.items() if not other.search(k)} == pytest.approx(
        expected, abs=2e-6
    )
    for name in ("overall", "classes.chair"):
        iou = found[f"{name}.mean_image_iou"]
        parts = ("segmentation", "classification", "threshold")
        gap = [found[f"{name}.iou_gap.{part}"] for part in parts]
        assert iou + sum(gap) == pytest.approx(1, abs=1e-5)
    short = read_metrics(workspace, SHORT)
    assert len(short) < 20
    assert short["mean_image_iou"] == found["overall.mean_image_iou"]
    assert short["classes.chair.mean_image_iou"] == found["classes.chair.mean_image_iou"]


def read_metrics(workspace: Workspace, name: str = "metrics/details.json") -> dict[str, float]:
    return flat(json.loads(workspace.path(name).read_text()))


def test_params_diff_shows_the_threshold(experiment: Experiment) -> None:
    changed = {"old": experiment.before, "new": experiment.after}
    diff = experiment.dvc_json("params", "diff", "--json")
    assert {key: diff["params.yaml"]["threshold"][key] for key in changed} == changed
    assert list(diff["params.yaml"]) == ["threshold"]


def test_metrics_diff_shows_what_came_of_it(experiment: Experiment) -> None:
    (diff,) = experiment.dvc_json("metrics", "diff", "--json").values()
    key = "classes.chair.mean_image_iou"
    row = diff[key]
    old = flat(json.loads(experiment.workspace.git("show", f"HEAD:{SHORT}")))
    assert row["old"] == old[key]
    assert row["new"] == read_metrics(experiment.workspace, SHORT)[key]
    assert row["diff"] == pytest.approx(row["new"] - row["old"], abs=1e-9)
    markdown = experiment.workspace.dvc("metrics", "diff", "--md").output
    assert key in markdown
    assert "classes.table" not in markdown
    details = experiment.workspace.dvc(
        "metrics", "diff", "--md", "--targets", "metrics/details.json"
    ).output
    assert "classes.chair.masks" in details


def test_exp_show_lists_it(experiment: Experiment) -> None:
    table = experiment.workspace.dvc("exp", "show", "--csv", "--no-pager").output
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["rev"] for row in rows[:2]] == ["workspace", "main"]
    thresholds = [float(row["threshold"]) for row in rows]
    assert thresholds == [experiment.after, experiment.before, experiment.after]
    assert all(row["classes.chair.mean_image_iou"] for row in rows)


def test_plots_diff_puts_the_panels_side_by_side(experiment: Experiment) -> None:
    experiment.workspace.dvc("plots", "diff")
    page = experiment.workspace.path("dvc_plots/index.html").read_text()
    for panel in experiment.workspace.path("data/overlays").iterdir():
        for revision in ("HEAD", "workspace"):
            picture = f"static/{revision}_data_overlays_{panel.name}"
            assert picture in page
            assert experiment.workspace.path(f"dvc_plots/{picture}").stat().st_size > 0
    status = experiment.workspace.git("status", "--short").splitlines()
    assert status == [
        " M dvc.lock",
        " M metrics/confusion.csv",
        " M metrics/details.json",
        " M metrics/images.csv",
        " M metrics/metrics.json",
        " M params.yaml",
    ]
