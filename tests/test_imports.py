"""Who may import whom: the contracts of .importlinter, and what an import alone loads."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import loaded_modules

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "retrieval", "stages", "formats", "find", "demo", "benchmarks", "review", "explore", "presets",
)  # fmt: skip
MODELS = {"torch", "torchvision", "clip", "segment_anything", "numba"}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-logo", "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_are_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("retrieval/files.py", "import stages.masks", "stages use retrieval"),
        ("stages/scores.py", "import demo.rooms", "stages use retrieval"),
        ("stages/metrics.py", "from stages import masks", "stages do not import each other"),
        ("retrieval/sam/tiny.py", "import retrieval.clip.crops", "know nothing of each other"),
        ("stages/overlays.py", "import pandas", "what follows the scores"),
        ("retrieval/params.py", "from retrieval import device", "what follows the scores"),
        ("retrieval/files.py", "import zarr", "arrays and files"),
        ("stages/masks.py", "import torch", "stages reach torch only through"),
        ("retrieval/scoring.py", "from retrieval import files", "arithmetic touches no file"),
        ("stages/scores.py", "import formats.coco", "stages use retrieval"),
        ("formats/objects.py", "import stages.masks", "stages use retrieval"),
        ("formats/coco.py", "import pandas", "exports and imports load no model"),
        ("formats/coco.py", "import explore.server", "stages use retrieval"),
        ("explore/vectors.py", "import torch", "the explorer reads what stages made"),
    ],
)
def test_a_wrong_import_breaks_them(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("weights", "__pyc*")
        )
    shutil.copyfile(ROOT / ".importlinter", tmp_path / ".importlinter")
    with (tmp_path / file).open("a") as source:
        source.write(f"\n\ndef lazily() -> None:\n    {line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    broken = [row for row in done.stdout.splitlines() if row.rstrip().endswith("BROKEN")]
    assert any(contract in row for row in broken), done.stdout


def test_a_new_module_of_the_library_is_held_to_the_contract() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    held = set(config["importlinter:contract:arrays"]["source_modules"].split())
    modules = {f"retrieval.{path.stem}" for path in (ROOT / "retrieval").glob("[a-z]*.py")}
    assert modules - held == {"retrieval.cluster", "retrieval.device"}


@pytest.mark.parametrize("name", ["masks", "embeddings", "scores", "ceilings", "prompts"])
def test_a_stage_with_a_model_reads_its_params_before_it_loads_one(name: str) -> None:
    assert not loaded_modules(f"import stages.{name}") & (MODELS | {"pandas", "ray", "zarr"})


@pytest.mark.parametrize(
    ("name", "needless"),
    [
        ("predictions", set()),
        ("curves", set()),
        ("metrics", {"pyarrow"}),
        ("overlays", {"pyarrow"}),
    ],
)
def test_a_stage_after_the_threshold_loads_little(name: str, needless: set[str]) -> None:
    heavy = MODELS | {"pandas", "zarr", "cv2", "requests", "tqdm"}
    assert not loaded_modules(f"import stages.{name}") & (heavy | needless)


def test_the_explorer_starts_without_a_model() -> None:
    heavy = MODELS | {"pandas", "zarr", "requests"}
    assert not loaded_modules("import explore.__main__") & heavy
