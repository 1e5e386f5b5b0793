"""`dvc exp run` with another threshold, and what DVC shows of it."""

import csv
import json
from typing import Any, NamedTuple

import pandas as pd
import pytest

from tests.pipeline.conftest import Made
from tests.pipeline.recomputed import flat, metrics_of
from tests.pipeline.workspace import Done, Workspace


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
    chair = scores[scores["class"] == "chair"]["similarity"]
    after = next(x for x in chair.quantile([0.5, 0.75]).round(4).tolist() if x != before)
    run = workspace.dvc("exp", "run", "-S", f"threshold={after}")
    return Experiment(workspace, run, before, after)


def test_only_what_depends_on_the_threshold_is_run(experiment: Experiment) -> None:
    assert experiment.run.ran == ["predictions", "metrics", "overlays"]
    assert experiment.run.skipped == ["masks", "embeddings", "scores", "calibration"]
    assert experiment.workspace.params()["threshold"] == experiment.after


def test_its_metrics_are_right(experiment: Experiment) -> None:
    found = read_metrics(experiment.workspace)
    assert found == pytest.approx(metrics_of(experiment.workspace.folder), abs=2e-6)
    assert 0 < found["classes.chair.masks"] < found["masks"]


def read_metrics(workspace: Workspace) -> dict[str, float]:
    return flat(json.loads(workspace.path("metrics/metrics.json").read_text()))


def test_the_metrics_before_were_right(made: Made) -> None:
    found = read_metrics(made.workspace)
    assert found == pytest.approx(metrics_of(made.workspace.folder), abs=2e-6)


def test_params_diff_shows_the_threshold(experiment: Experiment) -> None:
    changed = {"old": experiment.before, "new": experiment.after}
    diff = experiment.dvc_json("params", "diff", "--json")
    assert {key: diff["params.yaml"]["threshold"][key] for key in changed} == changed
    assert list(diff["params.yaml"]) == ["threshold"]


def test_metrics_diff_shows_what_came_of_it(experiment: Experiment) -> None:
    (diff,) = experiment.dvc_json("metrics", "diff", "--json").values()
    row = diff["classes.chair.masks"]
    old = flat(json.loads(experiment.workspace.git("show", "HEAD:metrics/metrics.json")))
    assert row["old"] == old["classes.chair.masks"]
    assert row["new"] == read_metrics(experiment.workspace)["classes.chair.masks"]
    assert row["diff"] == row["new"] - row["old"] != 0
    markdown = experiment.workspace.dvc("metrics", "diff", "--md").output
    assert "classes.chair.masks" in markdown


def test_exp_show_lists_it(experiment: Experiment) -> None:
    table = experiment.workspace.dvc("exp", "show", "--csv", "--no-pager").output
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["rev"] for row in rows[:2]] == ["workspace", "main"]
    thresholds = [float(row["threshold"]) for row in rows]
    assert thresholds == [experiment.after, experiment.before, experiment.after]
    assert all(row["classes.chair.masks"] for row in rows)


def test_plots_diff_puts_the_panels_side_by_side(experiment: Experiment) -> None:
    experiment.workspace.dvc("plots", "diff")
    page = experiment.workspace.path("dvc_plots/index.html").read_text()
    for panel in experiment.workspace.path("data/overlays").iterdir():
        for revision in ("HEAD", "workspace"):
            picture = f"static/{revision}_data_overlays_{panel.name}"
            assert picture in page
            assert experiment.workspace.path(f"dvc_plots/{picture}").stat().st_size > 0
    status = experiment.workspace.git("status", "--short").splitlines()
    assert status == [" M dvc.lock", " M metrics/metrics.json", " M params.yaml"]
