"""README and docs: what they name exists, what they show runs, and the README is short."""

import contextlib
import importlib.util
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from maskquery import cli
from tests.support.builders import ROOT, random_stack, write_masks, write_scores

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}

HISTORY = ("docs/glossary.md", "docs/changelog.md")
"""Pages that name old words."""

OLD_WORDS = (
    r"\bhits\b", r"\bfalse[ _]alarms?\b", r"\bceilings?\b", r"\brivals?\b", r"\brecipes?\b",
    r"\bside[ -]cache\b", r"\bperfect (masks?|labels?)\b", r"\bstands? against\b", r"\bfigures?\b",
    r"\beverything is it\b", r"\b(calibration|test) part\b", r"\bscores\.contrast\b",
    r"scoring: contrast", r"\bimages_absent\b", r"\bpython -m (find|formats|explore|review)\b",
    r"\bretrieval/",
)  # fmt: skip


def load_generated() -> Any:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


generated = load_generated()


def code_of(text: str) -> list[str]:
    """The code spans of a page, and the lines of its code blocks but for those in Python."""
    block = re.compile(r"^```([a-z]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    blocks = [code for language, code in block.findall(text) if language != "python"]
    lines = [line for code in blocks for line in code.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`]+)`", block.sub("", text))
    return [" ".join(span.split()) for span in spans] + lines


CODE = [(name, code) for name, text in TEXTS.items() for code in code_of(text)]


# Commands


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name, code in CODE:
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", code):
            assert target in targets, (name, code)


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, from its help."""

    def of(command: str) -> set[str]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
            cli.main([command, "--help"])
        return set(re.findall(r"--[a-z][a-z-]*", printed.getvalue()))

    return {command: of(command) for command in cli.COMMANDS}


def test_every_command_and_its_options_exist(options: dict[str, set[str]]) -> None:
    named = set()
    for name, code in CODE:
        for command, rest in re.findall(r"\bmaskquery (\S+)([^#&;]*)", code):
            if command in ("COMMAND", "--help", "--version"):
                continue
            assert command in options, (name, code)
            named.add(command)
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
                assert option in options[command], (name, code)
    assert named == options.keys(), "each command is in the docs"


def test_every_module_that_is_run_exists() -> None:
    for name, code in CODE:
        for module in re.findall(r"python -m ([a-z][\w.]*)", code):
            if "NAME" not in code and name not in HISTORY:
                assert importlib.util.find_spec(module), (name, code)


# Keys


def test_every_key_of_params_has_one_description() -> None:
    known, document = generated.declared(), generated.values()
    assert {name.partition(".")[0] for name in known} == set(document)
    for section, value in document.items():
        names = [section] if section in known else [f"{section}.{key}" for key in value]
        for name in names:
            assert known[name].description, f"{name}: say what it means, see docs/generated.py"
            assert known[name].allowed


def test_the_page_of_parameters_has_every_key_once() -> None:
    text = generated.on_page_markdown(TEXTS["docs/parameters.md"])
    for name in generated.declared():
        assert text.count(f"\n| `{name}` |") == 1


def test_every_key_of_params_that_the_docs_name_exists() -> None:
    known = set(generated.declared())
    sections = {name.partition(".")[0] for name in known if "." in name}
    for name, code in CODE:
        if name in HISTORY:
            continue
        for key in re.findall(r"(?<![\w./-])([a-z_]+\.[a-z_]+)(?![\w/(]*\()", code):
            if key.partition(".")[0] in sections - {"review"} and not key.endswith(
                (".zarr", ".parquet", ".json", ".csv", ".py", ".shape")
            ):
                assert key in known, (name, code)


def keys_in(tree: Any) -> set[str]:
    """All keys of a tree, dotted ones of two parts among them."""
    if not isinstance(tree, dict):
        return set()
    result = set(tree)
    for key, value in tree.items():
        result |= keys_in(value)
        if isinstance(value, dict):
            result |= {f"{key}.{inner}" for inner in value}
    return result


def test_every_metric_that_is_defined_exists() -> None:
    known = set()
    for path in (ROOT / "metrics").glob("*.json"):
        known |= keys_in(json.loads(path.read_text(encoding="utf-8")))
    text = TEXTS["docs/metrics.md"]
    section = text[text.index("## Definitions") : text.index("## Sizes")]
    names = []
    for cell in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE):
        first, *rest = re.findall(r"`([^`]+)`", cell)
        group = first.partition(".")[0]
        names += [first, *(f"{group}{name}" if name[0] == "." else name for name in rest)]
    assert len(names) > 20
    for name in names:
        assert name in known, name


# Words and links


def test_the_readme_is_short() -> None:
    text = TEXTS["README.md"]
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200


def test_the_readme_has_the_metrics_of_the_demo() -> None:
    if generated.values()["images"] != "data/rooms/images":
        pytest.skip("metrics/ is about other images than the demo's")
    for part in generated.readme().split("\n\n"):
        words = " ".join(TEXTS["README.md"].split())
        assert " ".join(part.split()) in words, "see python docs/generated.py readme"


def test_the_readme_has_the_numbers_of_the_ablation() -> None:
    text = TEXTS["README.md"]
    for name, pattern in (
        ("docs/ablation.md", r"\*\*([\d.]+)\*\* times, .* = ([\d.]+) times"),
        ("docs/ablation-unseen.md", r"mean IoU ([\d.]+) / ([\d.]+) = \*\*([\d.]+)\*\* times"),
    ):
        match = re.search(pattern, TEXTS[name])
        assert match, name
        assert all(number in text for number in match.groups()), (name, match[0])


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in HISTORY])
def test_old_words_are_gone(name: str) -> None:
    for word in OLD_WORDS:
        assert not re.findall(word, TEXTS[name], re.IGNORECASE), word


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", TEXTS[name]):
        if not link.startswith(("http://", "https://")):
            assert ((ROOT / name).parent / link).exists(), link


def test_files_that_are_named_exist() -> None:
    folders = "benchmarks|demo|docs|examples|maskquery|notebooks|stages|tests"
    for name, code in CODE:
        if name in HISTORY:
            continue
        for path in re.findall(rf"(?<![\w./-])((?:{folders})/[\w./-]*\w)", code):
            if "NAME" not in path:
                assert (ROOT / path).exists(), (name, path)


# Examples


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with small files of the pipeline, and an image."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    stacks = {"room-000": random_stack(rng, 3, 20, 30), "room-001": random_stack(rng, 2, 20, 30)}
    masks = write_masks(tmp_path / "data/masks.zarr", stacks)
    similarity = {image: rng.random((len(stack), 2), np.float32) for image, stack in stacks.items()}
    write_scores(tmp_path / "data/scores.parquet", masks, ["chair", "table"], similarity)
    pd.DataFrame({"image": ["room-000"], "view": ["crop"]}).to_parquet(
        tmp_path / "data/embeddings.parquet"
    )
    (tmp_path / "photos/2024").mkdir(parents=True)
    Image.new("RGB", (48, 36), "grey").save(tmp_path / "photos/2024/kitchen.jpg")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")  # the demo's models
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / ".cache"))


EXAMPLES = {
    code: (name, code, expected)
    for name, text in reversed(TEXTS.items())
    for code, expected in re.findall(
        r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, re.MULTILINE | re.DOTALL
    )
    if "s3://" not in code  # tests/images/test_buckets.py runs those
}


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize(("name", "code", "expected"), EXAMPLES.values())
def test_examples_print_what_they_say(name: str, code: str, expected: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, name, "exec"), {})  # noqa: S102
    assert printed.getvalue() == expected


def test_there_are_examples() -> None:
    assert {name for name, _, _ in EXAMPLES.values()} >= {
        "README.md",
        "docs/formats.md",
        "docs/metrics.md",
    }
