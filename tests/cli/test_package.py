"""What `pip install` brings: the wheel, made of the files that git knows."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import maskquery

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("maskquery", "stages", "tests", "demo", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            "out",
            ".",
        ],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    (path,) = (folder / "out").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, as pip puts them beside other packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.slow
def test_nothing_but_the_package_stands_at_the_top(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"maskquery", f"maskquery-{maskquery.__version__}.dist-info"}


@pytest.mark.slow
def test_every_file_of_the_package_travels(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("maskquery/")}
    files = (path for path in (ROOT / "maskquery").rglob("*") if path.is_file())
    expected = {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}
    assert packed == expected


@pytest.mark.slow
def test_find_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    """Without the repository, without params.yaml; what is finished is kept in the user's cache."""
    photo = sorted((ROOT / "data/rooms/images").iterdir())[0]
    shutil.copyfile(photo, tmp_path / "photo.jpg")
    code = (
        "import os\n"
        "from maskquery import find\n"
        "images = find('photo.jpg', 'a chair', preset='demo')\n"
        "assert 'MASKQUERY_CACHE' not in os.environ\n"
        "import maskquery; print(maskquery.__file__, images['photo'].union('a chair').shape)\n"
    )
    environment = {key: value for key, value in os.environ.items() if "MASKQUERY" not in key}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert {path.name for path in tmp_path.iterdir()} == {"photo.jpg", "cache"}
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"maskquery"}


def pinned() -> dict[str, Version]:
    """The versions that requirements.txt and requirements-dev.txt name."""
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            text = line.partition("#")[0].partition(";")[0].strip()
            if text and not text.startswith("-"):
                requirement = Requirement(text)
                (specifier,) = requirement.specifier
                pins[requirement.name.lower()] = Version(specifier.version)
    return pins


def test_what_is_tested_is_within_the_ranges() -> None:
    extras = PROJECT["optional-dependencies"]
    assert extras.keys() == {"explore", "openclip", "ray", "s3"}
    for text in (*PROJECT["dependencies"], *(each for extra in extras.values() for each in extra)):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned()[requirement.name.lower()]), text


def test_the_pinned_packages_are_those_of_the_project() -> None:
    names = {Requirement(text).name.lower() for text in PROJECT["dependencies"]}
    text = (ROOT / "requirements.txt").read_text()
    assert names == {name for name in pinned() if f"\n{name}==" in text.lower()} - {"pyyaml"}
