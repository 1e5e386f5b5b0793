import json

import pytest

from maskquery.core.errors import UserError
from maskquery.review import changes
from maskquery.review.comment import escape
from tests.support.builders import ROOT

BEFORE = json.dumps({"mean": 0.5, "classes": {"chair": {"iou": 0.25, "images": 3}}, "flag": True})


def test_metrics_have_dotted_names_and_are_numbers() -> None:
    assert changes.figures(BEFORE, "metrics.json") == {
        "mean": 0.5,
        "classes.chair.iou": 0.25,
        "classes.chair.images": 3.0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "metrics.json is not JSON"),
        ('<<<<<<< HEAD\n{"a": 1}\n', "resolve the merge conflict in it, then run `dvc repro`"),
    ],
)
def test_a_damaged_file_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        changes.figures(text, "metrics.json")


@pytest.mark.parametrize(
    ("mean", "tolerance", "worse"),
    [(0.5, 0.0, False), (0.49, 0.02, False), (0.47, 0.02, True), (0.7, 0.0, False)],
)
def test_a_metric_may_fall_by_its_tolerance(mean: float, tolerance: float, worse: bool) -> None:
    worsenings = changes.find_worsenings({"f1": 0.5}, {"f1": mean}, {"f1": tolerance})
    assert [each.name for each in worsenings] == (["f1"] if worse else [])


@pytest.mark.parametrize(("now", "worse"), [(21, False), (29, False), (31, False), (32, True)])
def test_where_less_is_better_a_metric_may_rise_by_its_tolerance(now: int, worse: bool) -> None:
    name = "classes.chair.false_positive_images"
    worsenings = changes.find_worsenings({name: 29}, {name: now}, {name: 2})
    assert bool(worsenings) == worse


def test_a_metric_that_is_gone_is_worse_and_a_new_one_is_not() -> None:
    worsenings = changes.find_worsenings({"f1": 0.5}, {"recall": 0.1}, {"f1": 0.5, "recall": 0.0})
    assert [str(each) for each in worsenings] == ["f1: 0.5000 -> gone (tolerance 0.5)"]


METRICS = changes.figures((ROOT / "metrics/metrics.json").read_text(), "metrics.json")


@pytest.mark.parametrize("name", [*METRICS, "miou"])
@pytest.mark.parametrize("move", [-0.25, 0.25])
def test_every_metric_of_the_demo_is_gated_on_its_side_only(name: str, move: float) -> None:
    before = METRICS.get(name, 0.6)
    worse = changes.find_worsenings({name: before}, {name: before + move}, {name: 0.2})
    sign = {"images": 0, "masks": 0}.get(name, 1)
    if "false_positive" in name or name.startswith("iou_gap."):
        sign = -1
    assert bool(worse) == (sign * move < 0)
    assert not changes.find_worsenings({name: before}, {name: before + move}, {name: 0.3})


@pytest.mark.parametrize("name", ["chair", "oracle", "images", "a.b", "masks", "iou_gap.oracle"])
def test_a_class_may_have_the_name_of_a_metric(name: str) -> None:
    assert changes.direction(f"classes.{name}.mean_image_iou") == changes.MORE
    assert changes.direction(f"classes.{name}.false_positive_images") == changes.LESS


def test_a_name_that_no_one_knows_has_no_direction() -> None:
    assert changes.direction("mean_image_oui") is None


def test_every_metric_of_the_demo_knows_which_way_is_better() -> None:
    metrics = changes.figures((ROOT / "metrics/metrics.json").read_text(), "metrics.json")
    directions = {name: changes.direction(name) for name in metrics}
    less = {name for name, sign in directions.items() if sign == changes.LESS}
    assert {name for name, sign in directions.items() if sign is None} == {"images", "masks"}
    assert less == {
        "false_positive_images",
        "classes.chair.false_positive_images",
        "iou_gap.segmentation",
        "iou_gap.classification",
        "iou_gap.threshold",
    }
    for name, sign in directions.items():
        if sign is not None:
            up, down = {name: metrics[name] + 1}, {name: metrics[name] - 1}
            bad, good = (down, up) if sign == changes.MORE else (up, down)
            assert changes.find_worsenings({name: metrics[name]}, bad, {name: 0.5})
            assert not changes.find_worsenings({name: metrics[name]}, good, {name: 0.5})


def test_images_are_listed_by_the_size_of_their_change() -> None:
    before = "image,class,iou\na,chair,0.5\nb,chair,0.5\nc,chair,0.5\nd,chair,0.2\n"
    now = "image,class,iou\na,chair,0.4\nb,chair,0.75\nc,chair,0.5\ne,chair,1.0\n"
    found = [(c.image, c.before, c.now) for c in changes.image_changes(before, now)]
    assert found == [("b", 0.5, 0.75), ("a", 0.5, 0.4)]


def test_false_positives_that_are_new_and_gone_are_counted() -> None:
    before = "image,class,iou\na,chair,0.5\nb,chair,\nc,chair,\nd,chair,0.2\n"
    now = "image,class,iou\na,chair,0.4\nb,chair,\nb,lamp,\na,lamp,\n"
    assert changes.false_positive_changes(before, now) == (2, 1)
    assert changes.image_changes(before, now) == [changes.ImageChange("a", "chair", 0.5, 0.4)]


@pytest.mark.parametrize("name", ["a|b", "<img src=x>", "@someone", "[x](y)", "a\nb", "**a**"])
def test_names_cannot_become_markup(name: str) -> None:
    assert not set(escape(name)) & set("|<>@[]()*\n`")
