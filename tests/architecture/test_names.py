"""A verb names a function, a noun its result: no function and no variable is a bare participle."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VARIABLES = {"drawn", "found", "held", "made", "opened", "own", "seen", "taken", "told", "wanted"}
FUNCTION = re.compile(
    r"_?((?!embed|feed|need|seed)[a-z]+ed|drawn|found|held|known|made|seen|shown|taken|told)(_[a-z_]+)?"
)

FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("maskquery", "stages", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def bad_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(decorator_list=[ast.Name(id="property")]):
                continue  # it is what an object has, and not what it does
            case ast.FunctionDef(name=name) if FUNCTION.fullmatch(name):
                yield f"{name}()"
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                if name.strip("_") in VARIABLES:
                    yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) if name.strip("_") in VARIABLES:
                yield name


@pytest.mark.parametrize("name", FILES)
def test_names_are_verbs_and_nouns(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    assert list(bad_names(tree)) == []


def test_what_is_noticed() -> None:
    code = """
def prepared(own): ...
def _known_models(): ...
def feed(): ...
def read_stored():
    found = 1
    self._wanted = 2
"""
    names = ["prepared()", "_known_models()", "own", "found", "_wanted"]
    assert sorted(bad_names(ast.parse(code))) == sorted(names)
