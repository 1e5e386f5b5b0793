import re

from maskquery.review import curves
from maskquery.review.comment import escape

BEFORE = "threshold,all classes,chair,a|b\n0.0,0.1,0.2,0.1\n0.25,0.4,0.5,0.1\n0.5,0.0,0.0,0.0\n"
NOW = (
    "threshold,all classes,chair,a|b,new\n0.0,0.1,0.2,0.1,1\n0.2,0.3,0.1,0.9,1\n0.5,0.0,0.0,0.0,1\n"
)


def test_the_highest_values_are_compared() -> None:
    lines = curves.section(BEFORE, NOW, escape).splitlines()
    assert lines[2:5] == [
        "| all classes | 0.400 | 0.250 | 0.300 | 0.200 |",
        "| a&#124;b | 0.100 | 0.250 | 0.900 | 0.200 |",  # changed most
        "| chair | 0.500 | 0.250 | 0.200 | 0.000 |",
    ]


def test_both_curves_are_drawn_over_the_same_thresholds() -> None:
    drawn = re.findall(r"^    line \[(.*)\]$", curves.section(BEFORE, NOW, escape), re.MULTILINE)
    before, now = ([float(value) for value in line.split(", ")] for line in drawn)
    assert len(before) == len(now) == curves.POINTS
    middle = curves.POINTS // 2
    assert (before[0], before[middle], before[-1]) == (0.1, 0.4, 0.0)
    assert (now[0], now[middle], now[-1]) == (0.1, 0.3, 0.0)


def test_equal_curves_and_curves_without_rows_are_no_section() -> None:
    assert curves.section(BEFORE, BEFORE, escape) == ""
    assert curves.section("threshold,all classes\n", NOW, escape) == ""
    assert curves.section(BEFORE, "threshold,all classes\n", escape) == ""
