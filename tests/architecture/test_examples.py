"""The examples in docstrings are run, and each fused kernel is compared with a plain version there.

`doctest.DocTestFinder` looks at plain functions and classes; numba's kernels are neither.
"""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]

WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "maskquery").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

FUSED = {
    "maskquery.clip.pooling": ["AttentionPool", "FirstToken"],
    "maskquery.clip.resizing": ["resize"],
    "maskquery.sam.decoder": ["_enlarge", "_read", "_write"],
    "maskquery.sam.encoder": ["attend_with_mask"],
    "maskquery.sam.kernels": ["scan_masks"],
    "maskquery.sam.upsampling": ["draw", "measure"],
}
"""What computes several steps at once: its docstring quotes them one by one, and compares."""


def examples(name: str) -> list[doctest.DocTest]:
    """The docstrings of a module that have examples."""
    module = importlib.import_module(name)
    things = {key: thing for key, thing in vars(module).items() if is_of(thing, name)}
    methods = {
        f"{key}.{method}": thing
        for key, owner in things.items()
        if inspect.isclass(owner)
        for method, thing in vars(owner).items()
    }
    parser = doctest.DocTestParser()
    texts = {"": module} | things | methods
    tests = [
        parser.get_doctest(inspect.getdoc(thing), dict(vars(module)), key or name, name, None)
        for key, thing in texts.items()
        if isinstance(getattr(thing, "__doc__", None), str)
    ]
    return [test for test in tests if test.examples]


def is_of(thing: object, module: str) -> bool:
    return getattr(thing, "__module__", None) == module


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    tests = examples(name)
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert sum(len(test.examples) for test in tests) == source.count(">>> ")
    for test in tests:
        torch.manual_seed(0)
        failures: list[str] = []
        runner.run(test, out=failures.append)
        assert not failures, "".join(failures)


@pytest.mark.parametrize("name", FUSED)
def test_kernels_have_a_plain_version(name: str) -> None:
    with_examples = {
        test.name
        for test in examples(name)
        if any("assert" in example.source for example in test.examples)
    }
    assert set(FUSED[name]) <= with_examples


def test_an_example_that_fails_is_noticed() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "name", None, None)
    failures: list[str] = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert failures
