"""The command `maskquery`, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import maskquery
from maskquery import cli

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_FCNTL = "import sys; sys.modules['fcntl'] = None; "


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return python("-m", "maskquery", *arguments, folder=folder)


def python(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_command() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: python -m maskquery COMMAND ...\n")
        assert all(f"\n  {name} " in done.stdout for name in cli.COMMANDS)


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"maskquery {maskquery.__version__}\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_that_names_it(name: str, tmp_path: Path) -> None:
    done = run(name, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m maskquery {name} [-h]")
    assert "__main__" not in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_an_unknown_option_is_one_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    """Before params.yaml is looked for, which is not there."""
    needed = {
        "find": ["a.png", "a chair"],
        "export": ["coco"],
        "import": ["a.json"],
        "pack": ["images", "--out", "o"],
        "list": ["s3://bucket", "--out", "o.json"],
        "review": ["main"],
        "preset": ["report"],
    }
    done = run(name, *needed.get(name, ()), "--no-such-option", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: unrecognized arguments: --no-such-option: "
        f"see `python -m maskquery {name} --help`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["fnid"], 2, "there is no command 'fnid'; there are find, explore, "),
        (["explore", "--port", "99999"], 2, "argument --port: 99999 is not from 0 to 65535"),
        (["explore", "--host", "0.0.0.0"], 2, "--host 0.0.0.0 names no machine"),
        (
            ["cache", "gc", "--size", "much"],
            2,
            "argument --size: 'much' is not a size such as 20GB",
        ),
        (["cache", "gc", "--days", "-1"], 2, "argument --days: "),
        (["list", "s3://bucket", "--out", "a.txt"], 2, "--out a.txt: it must end in .json"),
        (
            ["preset", "reprot"],
            2,
            "there is no preset 'reprot'; there are full_size, photo, report",
        ),
        (["find", "a.png", "a chair"], 1, "a.png does not exist"),
        (["metrics"], 1, "metrics/details.json cannot be read: run `dvc repro`"),
        (["preset", "report"], 1, "params.yaml is missing"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], code: int, line: str, tmp_path: Path) -> None:
    """Exit code 2 for what was typed, 1 for what it met."""
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", ["--help", "find --help", "export --help"])
def test_a_reader_may_go_away(arguments: str) -> None:
    pipe = f"'{sys.executable}' -m maskquery {arguments} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", pipe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("usage: ")
    assert done.stdout.endswith("\n0\n")


@pytest.mark.parametrize(
    "code",
    [
        "import runpy; runpy.run_module('maskquery', run_name='__main__')",
        "from maskquery.cli import run; run()",
        "import runpy; runpy.run_module('stages.masks', run_name='__main__')",
        "import runpy; runpy.run_module('stages.metrics', run_name='__main__')",
    ],
)
def test_on_windows_it_says_where_it_runs(code: str) -> None:
    done = python("-c", WITHOUT_FCNTL + code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: maskquery runs on Linux, macOS or WSL\n"


@pytest.mark.parametrize("code", ["from maskquery import find", "import maskquery.core.files"])
def test_on_windows_an_import_says_where_it_runs(code: str) -> None:
    catch = f"try:\n    {code}\nexcept ImportError as error:\n    print(error)"
    done = python("-c", f"import sys\nsys.modules['fcntl'] = None\n{catch}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "maskquery runs on Linux, macOS or WSL\n"
