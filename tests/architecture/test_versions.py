"""A reminder: code that computes other masks or embeddings needs another version.

The cells of the cache of finished work are named after `maskquery.sam.VERSION` and
`maskquery.clip.VERSION`, so that results of older code are not taken for those of the present one.
This test notices that the code changed (comments and docstrings do not count), and tells what the
golden data say of its results.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from maskquery import clip, sam
from tests.architecture import golden

ROOT = Path(__file__).parents[2]
NOTED = Path(__file__).with_name("versions.json")
VERSIONS = {"masks": sam.VERSION, "embeddings": clip.VERSION}

# The rooms whose code decides what is in a cell: the rest moves, keeps and checks data.
DECODING = tuple(
    f"images/{name}.py" for name in ("clahe", "image_files", "opening", "pixels", "profiles")
)
COMPUTING = {"masks": (*DECODING, "masks/", "sam/"), "embeddings": (*DECODING, "masks/", "clip/")}


def code_of(stage: str) -> str:
    """A hash of the statements of all modules that decide what is in the stage's cells."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "maskquery").rglob("*.py")):
        if path.relative_to(ROOT / "maskquery").as_posix().startswith(COMPUTING[stage]):
            digest.update(_dump(_bare(ast.parse(path.read_text()))).encode())
    return digest.hexdigest()[:16]


def _bare(tree: ast.Module) -> ast.Module:
    """Without docstrings, and without the strings that explain constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [item for item in body if not _is_text(item)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _dump(node: object) -> str:
    """As Python 3.11's `ast.dump`: later ones know `type_params`, and leave out empty lists."""
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    said = (
        f"{name}={_dump(value)}"
        for name, value in ast.iter_fields(node)
        if not (value is None and getattr(type(node), name, ...) is None)
        and not (name == "type_params" and value == [])
    )
    return f"{type(node).__name__}({', '.join(said)})"


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def noted() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTED.read_text())
    return found


@pytest.mark.parametrize("stage", VERSIONS)
def test_the_code_is_that_of_the_version(stage: str) -> None:
    expected = {"version": VERSIONS[stage], "code": code_of(stage)}
    # The verdict computes masks and embeddings: only where the code has changed.
    assert noted()[stage] == expected, (
        f"the code that computes {stage} has changed; {golden.verdict(stage)}; "
        "in any case run `python -m tests.architecture.test_versions`"
    )


def test_comments_and_docstrings_are_no_code() -> None:
    one = _dump(_bare(ast.parse('"""A."""\nX = 1\n"""B."""\ndef f():\n    """C."""\n')))
    two = _dump(_bare(ast.parse("X = 1  # D\ndef f():\n    pass\n")))
    assert one == two


if __name__ == "__main__":
    versions = {
        stage: {"version": version, "code": code_of(stage)} for stage, version in VERSIONS.items()
    }
    NOTED.write_text(json.dumps(versions, indent=2) + "\n")
    sys.exit(0)
