"""dvc.yaml declares what each stage reads: no stale cache, and no needless rerun."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

LIST_MODULES = """
import sys, ast, importlib, importlib.util
from pathlib import Path
root = Path.cwd()
todo, seen = ["stages.{name}"], set()
while todo:
    module = todo.pop()
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or spec.origin in seen:
        continue
    seen.add(spec.origin)
    if "." in module:
        todo.append(module.rpartition(".")[0])
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [node.module] + [f"{{node.module}}.{{alias.name}}" for alias in node.names]
        for found in names:
            if found.split(".")[0] in ("stages", "retrieval", "demo"):
                try:
                    if importlib.util.find_spec(found):
                        todo.append(found)
                except ModuleNotFoundError:
                    pass  # a name inside a module, not a module
print("\\n".join(str(Path(p).relative_to(root)) for p in seen if Path(p).stat().st_size))
"""


def declared_code(name: str) -> set[str]:
    return {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_modules_that_the_stage_imports(name: str) -> None:
    listing = subprocess.run(
        [sys.executable, "-c", LIST_MODULES.format(name=name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert declared_code(name) == set(listing.stdout.split())


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_fields_of_the_stage(name: str) -> None:
    code = f"from stages.{name} import Params; print(*Params.model_fields)"
    listing = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    fields = set(listing.stdout.split())
    declared = set(STAGES[name].get("params", []))
    assert declared == fields


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_described_and_run_as_a_module(name: str) -> None:
    assert STAGES[name]["cmd"] == f"python -m stages.{name}"
    assert STAGES[name]["desc"]


def test_the_threshold_is_the_first_parameter() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert next(iter(params)) == "threshold"


def test_nothing_before_predictions_depends_on_the_threshold() -> None:
    readers = {name for name, stage in STAGES.items() if "threshold" in stage.get("params", [])}
    assert readers == {"predictions"}
