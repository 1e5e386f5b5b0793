"""Who may import whom: the contracts of .importlinter, and what an import alone loads."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import loaded_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("maskquery", "stages", "demo", "benchmarks")
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


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("weights", "__pyc*")
        )
    shutil.copyfile(ROOT / ".importlinter", folder / ".importlinter")
    return folder


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("maskquery/core/files.py", "import stages.masks", "imports go downward"),
        ("maskquery/core/params.py", "from maskquery.models import device", "imports go downward"),
        ("maskquery/sam/tiny.py", "import maskquery.clip.crops", "imports go downward"),
        ("maskquery/images/names.py", "import maskquery.masks.packed", "imports go downward"),
        ("maskquery/jobs/cells.py", "import maskquery.tables.parquet", "imports go downward"),
        ("maskquery/formats/objects.py", "import stages.masks", "imports go downward"),
        ("maskquery/formats/coco.py", "import maskquery.explore.server", "imports go downward"),
        ("stages/scores.py", "import demo.rooms", "imports go downward"),
        ("stages/metrics.py", "from stages import masks", "stages do not import each other"),
        ("maskquery/selection/rules.py", "import torch", "what follows the scores"),
        ("maskquery/core/params.py", "import pandas", "what follows the scores"),
        ("maskquery/masks/packed.py", "import zarr", "what follows the scores"),
        ("maskquery/evaluation/curves.py", "from maskquery.models import device", "what follows"),
        ("maskquery/formats/coco.py", "import pandas", "what follows the scores"),
    ],
)
def test_a_wrong_import_breaks_them(tree: Path, file: str, line: str, contract: str) -> None:
    path = tree / file
    source = path.read_text()
    path.write_text(f"{source}\n\ndef lazily() -> None:\n    {line}\n")
    done = lint_imports(tree)
    path.write_text(source)
    assert done.returncode == 1
    broken = [row for row in done.stdout.splitlines() if row.rstrip().endswith("BROKEN")]
    assert any(contract in row for row in broken), done.stdout


@pytest.mark.parametrize("name", ["masks", "embeddings", "scores", "oracle", "prompts"])
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


def test_every_module_lies_in_a_room_of_the_layers() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    layers = config["importlinter:contract:layers"]["layers"]
    rooms = {path.parent.name for path in (ROOT / "maskquery").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"maskquery\.(\w+)", layers))
    above = {path.name for path in (ROOT / "maskquery").glob("*.py")}
    assert above == {"__init__.py", "__main__.py", "cli.py", "metrics_table.py"}


def test_the_package_itself_loads_no_room() -> None:
    # test_dvc_yaml.py and a stage's start rely on it.
    loaded_modules("import maskquery; assert not [m for m in sys.modules if 'maskquery.' in m]")


def test_a_room_imports_nothing_of_the_package_itself() -> None:
    """`from maskquery import find` would load what people use, unseen by the layers."""
    for path in (ROOT / "maskquery").rglob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "maskquery":
                rooms = {alias.name for alias in node.names}
                assert all((ROOT / "maskquery" / room).is_dir() for room in rooms), path


def test_the_command_starts_with_nothing() -> None:
    heavy = MODELS | {"numpy", "pandas", "pydantic", "pyarrow", "yaml", "zarr"}
    assert not loaded_modules("import maskquery.cli, maskquery") & heavy


def test_the_explorer_starts_without_a_model() -> None:
    heavy = MODELS | {"pandas", "zarr", "requests"}
    assert not loaded_modules("import maskquery.explore.command") & heavy
