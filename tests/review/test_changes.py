import json

import pytest

from maskquery.review import changes
from maskquery.review.comment import escape

BEFORE = json.dumps({"mean": 0.5, "classes": {"chair": {"iou": 0.25, "images": 3}}, "flag": True})


def test_figures_have_dotted_names_and_are_numbers() -> None:
    assert changes.figures(BEFORE) == {
        "mean": 0.5,
        "classes.chair.iou": 0.25,
        "classes.chair.images": 3.0,
    }


@pytest.mark.parametrize(
    ("mean", "tolerance", "dropped"),
    [(0.5, 0.0, False), (0.49, 0.02, False), (0.47, 0.02, True), (0.7, 0.0, False)],
)
def test_a_figure_may_drop_by_its_tolerance(mean: float, tolerance: float, dropped: bool) -> None:
    found = changes.drops(BEFORE, json.dumps({"mean": mean}), {"mean": tolerance})
    assert [drop.name for drop in found] == (["mean"] if dropped else [])


def test_a_figure_that_is_gone_counts_as_dropped_and_a_new_one_does_not() -> None:
    found = changes.drops(BEFORE, json.dumps({"new": 0.1}), {"mean": 0.5, "new": 0.0})
    assert [str(drop) for drop in found] == ["mean: 0.5000 -> gone (tolerance 0.5)"]
    assert changes.unknown(json.dumps({"new": 0.1}), {"mean": 0.5, "new": 0.0}) == ["mean"]


def test_images_are_listed_by_the_size_of_their_change() -> None:
    before = "image,class,iou\na,chair,0.5\nb,chair,0.5\nc,chair,0.5\nd,chair,0.2\n"
    now = "image,class,iou\na,chair,0.4\nb,chair,0.75\nc,chair,0.5\ne,chair,1.0\n"
    found = [(c.image, c.before, c.now) for c in changes.image_changes(before, now)]
    assert found == [("b", 0.5, 0.75), ("a", 0.5, 0.4)]


def test_false_alarms_that_are_new_and_gone_are_counted() -> None:
    before = "image,class,iou\na,chair,0.5\nb,chair,\nc,chair,\nd,chair,0.2\n"
    now = "image,class,iou\na,chair,0.4\nb,chair,\nb,lamp,\na,lamp,\n"
    assert changes.alarm_changes(before, now) == (2, 1)
    assert changes.image_changes(before, now) == [changes.ImageChange("a", "chair", 0.5, 0.4)]


@pytest.mark.parametrize("name", ["a|b", "<img src=x>", "@someone", "[x](y)", "a\nb", "**a**"])
def test_names_cannot_become_markup(name: str) -> None:
    assert not set(escape(name)) & set("|<>@[]()*\n`")
