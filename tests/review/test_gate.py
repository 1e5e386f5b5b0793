"""What passes the gate, with git and DVC played by small stand-ins."""

import json
from pathlib import Path

import pytest

from maskquery.core.errors import UserError
from maskquery.review import gate, history

BASE = "0123456789abcdef"
METRICS = {
    "images": 3,
    "mean_image_iou": 0.5,
    "false_positive_images": 4,
    "iou_gap": {"segmentation": 0.1},
}


class Project:
    """A project whose base is in memory, and whose stages are up to date."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base: dict[str, str] = {}
        monkeypatch.chdir(folder)
        monkeypatch.setattr(history, "read", lambda _, path: self.base.get(path.as_posix()))
        monkeypatch.setattr(gate, "stale_stages", list)
        Path("metrics").mkdir()
        self.now(METRICS, {"mean_image_iou": 0.01})
        self.before(METRICS, {"mean_image_iou": 0.01})

    def now(self, metrics: object, tolerance: object) -> None:
        gate.METRICS.write_text(json.dumps(metrics))
        Path("params.yaml").write_text(self._params(tolerance))

    def before(self, metrics: object, tolerance: object) -> None:
        self.base["metrics/metrics.json"] = json.dumps(metrics)
        self.base["params.yaml"] = self._params(tolerance)

    @staticmethod
    def _params(tolerance: object) -> str:
        return f"review: {json.dumps({'gate': 'tolerance', 'tolerance': tolerance})}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def failures() -> str:
    return "; ".join(gate.judge(BASE).failures)


def test_the_same_metrics_pass(project: Project) -> None:
    assert gate.judge(BASE) == gate.Verdict()


@pytest.mark.parametrize("tolerance", [{}, {"mean_image_iou": 1.0}])
def test_a_change_that_loosens_the_tolerance_is_judged_by_the_bases(
    project: Project, tolerance: object
) -> None:
    project.now({**METRICS, "mean_image_iou": 0.3}, tolerance)
    assert failures() == "worse: mean_image_iou: 0.5000 -> 0.3000 (tolerance 0.01)"


@pytest.mark.parametrize("text", [None, "", "review: 3", "a: [", "review:\n  tolerance: 3\n"])
def test_a_base_whose_params_cannot_be_read_leaves_the_changes_own(
    project: Project, text: str | None
) -> None:
    project.now({**METRICS, "mean_image_iou": 0.3}, {"mean_image_iou": 0.1})
    if text is None:
        del project.base["params.yaml"]
    else:
        project.base["params.yaml"] = text
    assert failures() == "worse: mean_image_iou: 0.5000 -> 0.3000 (tolerance 0.1)"


@pytest.mark.parametrize(("alarms", "passes"), [(2, True), (4, True), (5, False)])
def test_fewer_false_alarms_pass_and_more_do_not(
    project: Project, alarms: int, passes: bool
) -> None:
    project.now({**METRICS, "false_positive_images": alarms}, {"false_positive_images": 0})
    assert (failures() == "") == passes


def test_a_name_that_means_nothing_does_not_pass(project: Project) -> None:
    project.now(METRICS, {"mean_image_oui": 0.1, "images": 0})
    assert failures() == (
        "review.tolerance names mean_image_oui, which metrics/metrics.json does not have; "
        "review.tolerance names images, of which neither more nor less is better"
    )


def test_a_base_without_metrics_is_no_pass_where_something_is_to_be_compared(
    project: Project,
) -> None:
    del project.base["metrics/metrics.json"]
    assert "nothing to compare with: 0123456789 has no metrics/metrics.json" in failures()
    project.now(METRICS, {})
    project.base.clear()
    assert gate.judge(BASE) == gate.Verdict()


def test_without_ground_truth_it_is_said_that_nothing_was_compared(project: Project) -> None:
    for place in (project.now, project.before):
        place({"images": 3, "masks": 9}, {"mean_image_iou": 0.01})
    verdict = gate.judge(BASE)
    assert verdict.failures == []
    assert "there is no ground truth" in verdict.notes[0]


def test_ground_truth_that_is_gone_does_not_pass(project: Project) -> None:
    project.now({"images": 3, "masks": 9}, {"mean_image_iou": 0.01})
    assert failures() == "worse: mean_image_iou: 0.5000 -> gone (tolerance 0.01)"


@pytest.mark.parametrize(("images", "passes"), [(4, True), (5, False)])
def test_a_base_with_the_names_of_an_earlier_version_is_compared(
    project: Project, images: int, passes: bool
) -> None:
    old = {"images": 3, "mean_image_iou": 0.5, "lost": {"masks": 0.1}, "false_alarm_images": 4}
    classes = {"classes": {"chair": {"false_alarm_images": 1}}}
    project.before(old | classes, {})
    tolerance = {"false_positive_images": 0, "iou_gap.segmentation": 0.0}
    project.now({**METRICS, "false_positive_images": images}, tolerance)
    verdict = gate.judge(BASE)
    assert (verdict.failures == []) == passes
    assert "has metrics of an earlier version" in verdict.notes[0]
    assert "lost.masks, false_alarm_images, classes.chair.false_alarm_images" in verdict.notes[0]


def images(change: float, count: int = 30) -> str:
    """An images.csv with chairs alone, whose IoU moved."""
    ious = [0.3 + 0.01 * (i % 7) + change * (1 + i % 3) / 2 for i in range(count)]
    rows = [f"room-{i},chair,{iou:.6f},1,1,1" for i, iou in enumerate(ious)]
    return "\n".join(["image,class,iou,tp,fp,fn", *rows]) + "\n"


@pytest.mark.parametrize("asks", ["now", "before"])
@pytest.mark.parametrize(("change", "passes"), [(-0.01, False), (0.0, True), (0.01, True)])
def test_a_fall_beyond_chance_is_refused_where_either_side_asks_for_it(
    project: Project, asks: str, change: float, passes: bool
) -> None:
    path = Path("params.yaml")
    significant = path.read_text().replace('"gate": "tolerance"', '"gate": "significant"')
    if asks == "now":
        path.write_text(significant)
    else:
        project.base["params.yaml"] = significant
    project.base["metrics/images.csv"] = images(0.0)
    gate.IMAGES.write_text(images(change))
    line = failures()
    assert (line == "") == passes
    if not passes:
        assert line.startswith("significantly worse: mean_image_iou: -0.010 (-0.0")
        assert line.endswith(") over 30 images")


def test_a_fall_beyond_chance_passes_where_nobody_asks(project: Project) -> None:
    project.base["metrics/images.csv"] = images(0.0)
    gate.IMAGES.write_text(images(-0.01))
    assert failures() == ""


def test_too_few_images_for_an_interval_are_no_pass(project: Project) -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace('"gate": "tolerance"', '"gate": "significant"'))
    project.base["metrics/images.csv"] = images(0.0, 4)
    gate.IMAGES.write_text(images(0.0, 4))
    assert "have fewer than 5 images in common" in failures()


def test_metrics_that_cannot_be_read_are_named(project: Project) -> None:
    project.base["metrics/metrics.json"] = "<<<<<<< HEAD"
    with pytest.raises(UserError, match=r"metrics\.json of 0123456789 is not JSON .*conflict"):
        gate.judge(BASE)
    gate.METRICS.write_text("")
    with pytest.raises(UserError, match=r"metrics/metrics\.json is not JSON"):
        gate.judge(BASE)
    gate.METRICS.unlink()
    with pytest.raises(UserError, match=r"metrics\.json is missing: run `dvc repro`"):
        gate.judge(BASE)
