"""Examples in docstrings are run; each fused kernel is compared there with a plain version."""

import doctest
import importlib
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
    tests = doctest.DocTestFinder().find(importlib.import_module(name))
    return [test for test in tests if test.examples]


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
        test.name.removeprefix(f"{name}.")
        for test in examples(name)
        if any("assert" in example.source for example in test.examples)
    }
    assert set(FUSED[name]) <= with_examples


def test_an_example_that_fails_is_noticed() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "name", None, None)
    failures: list[str] = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert failures
