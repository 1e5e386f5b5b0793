"""dvc.yaml declares what each stage reads: no stale cache, and no needless rerun."""

import ast
import importlib
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from maskquery.core import params

ROOT = Path(__file__).parents[2]
PACKAGES = ("maskquery", "stages", "demo", "benchmarks", "tests")
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def module_files(module: str, root: Path = ROOT) -> set[str]:
    """All files of this repository that importing and running `module` may load.

    Imports are followed wherever they stand, in functions too, so none that depends on the data or
    the cache is missed; the packages around a module are loaded with it.
    """
    waiting, found = [module], set()
    while waiting:
        name = waiting.pop()
        file = module_file(name, root)
        if file is None or file in found or name == "maskquery":
            continue  # the package itself imports what is asked of it, and a stage asks nothing
        found.add(file)
        waiting.append(name.rpartition(".")[0])
        waiting.extend(imported_names((root / file).read_text()))
    return found


def module_file(name: str, root: Path) -> str | None:
    """The file of a module of this repository; None if `name` is none."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = name.replace(".", "/")
    files = [file for file in (f"{path}.py", f"{path}/__init__.py") if (root / file).is_file()]
    return files[0] if files else None


def imported_names(source: str) -> list[str]:
    """Every dotted name that some import statement may mean as a module."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def code_of(module: str, root: Path = ROOT) -> set[str]:
    """The code that `module` may load, as dvc.yaml names it: rooms, and files outside of any."""
    files = (file for file in module_files(module, root) if file != "stages/__init__.py")
    return {"/".join(file.split("/")[:2]) for file in files}


def test_the_package_of_the_stages_computes_nothing() -> None:
    # So it need be no dependency.
    assert set(imported_names((ROOT / "stages/__init__.py").read_text())) <= {
        "os",
        "sys",
        "maskquery.core",
        "maskquery.core.parents",
    }


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    sources = {
        "stages/__init__.py": "",
        "stages/one.py": "import maskquery.deep.leaf\nfrom maskquery import core, missing",
        "maskquery/__init__.py": "def f():\n    from maskquery.above import everything",
        "maskquery/core/__init__.py": "import numpy",
        "maskquery/deep/__init__.py": "NAME = 1",
        "maskquery/deep/leaf.py": "def f():\n    def g():\n        from maskquery.lazy import a",
        "maskquery/lazy/__init__.py": "",
        "maskquery/lazy/a.py": "if TYPE_CHECKING:\n    import maskquery.types.b",
        "maskquery/types/__init__.py": "from maskquery.core import NAME",
        "maskquery/types/b.py": "import stages.one, maskquery.table",
        "maskquery/table.py": "",
        "maskquery/above/__init__.py": "",
        "maskquery/unused/__init__.py": "",
    }
    for file, source in sources.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(source)
    rooms = {f"maskquery/{room}" for room in ("core", "deep", "lazy", "types")}
    expected = {"stages/one.py", "maskquery/table.py", *rooms}
    assert code_of("stages.one", tmp_path) == expected


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_rooms_that_the_stage_imports(name: str) -> None:
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith(("stages/", "maskquery/"))}
    read = code_of(f"stages.{name}")
    assert read - declared == set(), f"dvc.yaml lacks deps of {name}: it may keep stale results"
    assert declared - read == set(), f"dvc.yaml has deps that {name} never imports: needless reruns"


@pytest.mark.parametrize("room", ["scoring", "selection", "evaluation"])
def test_sam_and_clip_do_not_depend_on_what_follows_the_embeddings(room: str) -> None:
    readers = {name for name, stage in STAGES.items() if f"maskquery/{room}" in stage["deps"]}
    assert readers
    assert not readers & {"masks", "embeddings"}


def outputs(stage: dict[str, Any], *kinds: str) -> list[str]:
    """The paths of a stage's outputs of these kinds; an entry with options is a mapping."""
    entries = [entry for kind in kinds for entry in stage.get(kind, [])]
    return [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]


def stage_module(name: str) -> ModuleType:
    return importlib.import_module(f"stages.{name}")


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_fields_of_the_stage(name: str) -> None:
    assert set(STAGES[name]["params"]) == set(params.keys(stage_module(name).Params))


def test_every_key_of_params_yaml_is_read_by_a_stage() -> None:
    read = {key for stage in STAGES.values() for key in stage["params"]}
    assert set(PARAMS) - read == {"review"}  # read by `make review` alone
    assert read <= set(PARAMS)


@pytest.mark.parametrize("name", STAGES)
def test_params_yaml_is_what_the_stage_takes(name: str) -> None:
    # A nested key that the stage does not read is refused here.
    params.load(stage_module(name).Params, ROOT / "params.yaml")


@pytest.mark.parametrize("name", STAGES)
def test_files_are_those_that_the_stage_names(name: str) -> None:
    stage, module = STAGES[name], stage_module(name)
    written = outputs(stage, "outs", "metrics", "plots")
    data = [dep for dep in stage["deps"] if dep.startswith(("data/", "metrics/"))]
    named = {value.as_posix() for value in vars(module).values() if isinstance(value, Path)}
    assert set(written) | set(data) == named
    assert written


@pytest.mark.parametrize("name", STAGES)
def test_folders_from_params_are_dependencies(name: str) -> None:
    stage = STAGES[name]
    folders = {dep for dep in stage["deps"] if dep.startswith("$")}
    expected = {"images": "${images}", "ground_truth": "${ground_truth.folder}"}
    assert folders == {dep for key, dep in expected.items() if key in stage["params"]}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_described_and_run_as_a_module(name: str) -> None:
    assert STAGES[name]["cmd"] == f"python -m stages.{name}"
    assert STAGES[name]["desc"]


def test_stages_stand_in_the_order_of_the_data() -> None:
    later = {out for stage in STAGES.values() for out in outputs(stage, "outs")}
    for stage in STAGES.values():
        assert not later & set(stage["deps"])
        later -= set(outputs(stage, "outs"))


def test_the_threshold_is_the_first_parameter() -> None:
    assert next(iter(PARAMS)) == "threshold"


def test_nothing_before_predictions_depends_on_the_threshold() -> None:
    readers = {name for name, stage in STAGES.items() if "threshold" in stage["params"]}
    assert readers == {"predictions"}


@pytest.mark.parametrize(
    "name", ["params.yaml", "maskquery/presets/report.yaml", "maskquery/presets/full_size.yaml"]
)
def test_what_dvc_writes_anew_keeps_its_form(tmp_path: Path, name: str) -> None:
    """`dvc exp run -S` rewrites params.yaml: the difference is to be the value alone."""
    copy = Path(shutil.copy(ROOT / name, tmp_path))
    with modify_yaml(copy):
        pass
    assert copy.read_text() == (ROOT / name).read_text()
