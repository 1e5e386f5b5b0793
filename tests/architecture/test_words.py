"""The field's words, in the code as in the docs; see docs/glossary.md for what replaced them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OLD = re.compile(
    r"false[ _]alarm|FALSE_ALARM|\bHIT\b|\bMISS\b|\bceilings?_|\bCEILINGS\b|\brivals\b"
    r"|\bside[ _-]cache\b|\bTally\b|\bRecipe\b"
    r"|\b(calibration|test)[ _]part\b|\bperfect labels\b|scores\.contrast\b|\bimages_absent\b"
)
ALLOWED = {"maskquery/review/changes.py": {"false_alarm"}}  # the names of earlier versions

FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("maskquery", "stages", "benchmarks")
    for suffix in ("py", "js", "html", "css", "yaml")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
] + ["params.yaml", "dvc.yaml", "Makefile", ".github/workflows/review.yml"]


@pytest.mark.parametrize("name", FILES)
def test_old_words_are_gone(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    words = {match[0] for match in OLD.finditer(text)}
    assert words - ALLOWED.get(name, set()) == set()
