import sys
from collections.abc import Callable
from typing import Any

import pytest

from maskquery.core.arguments import Parser, whole_number, with_reason
from maskquery.core.errors import UsageError


def parse(kind: Callable[[str], Any], text: str) -> Any:
    parser = Parser("find", "Find.")
    parser.add_argument("--number", type=kind)
    return parser.parse_args(["--number", text]).number


def test_a_number_is_within_its_range() -> None:
    assert parse(whole_number(0, 65535), "65535") == 65535
    for text, why in [("65536", "65536 is not from 0 to 65535"), ("x", "'x' is not a whole num")]:
        with pytest.raises(UsageError, match=f"argument --number: {why}"):
            parse(whole_number(0, 65535), text)


def test_a_reason_is_told() -> None:
    def read(text: str) -> int:
        raise ValueError(f"{text} is not blue")

    with pytest.raises(
        UsageError, match=r"--number: red is not blue: see `.*maskquery find --help"
    ):
        parse(with_reason(read), "red")


def test_options_are_not_abbreviated() -> None:
    parser = Parser("find", "Find.")
    parser.add_argument("--threshold")
    with pytest.raises(UsageError, match="--thres"):
        parser.parse_args(["--thres", "1"])


@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("/usr/bin/maskquery", "maskquery"),
        ("/lib/maskquery/__main__.py", "python -m maskquery"),
        ("/lib/pytest/__main__.py", "maskquery"),
    ],
)
def test_the_program_is_named_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, path: str, program: str
) -> None:
    monkeypatch.setattr(sys, "argv", [path])
    assert Parser("find", "Find.").prog == f"{program} find"
