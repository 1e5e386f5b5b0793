import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskquery.core import console
from maskquery.core.errors import InterruptedWork, UsageError, UserError, printable

ROOT = Path(__file__).resolve().parents[2]


def test_the_closing_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    console.run(lambda: "masks: 3 images")
    assert capsys.readouterr() == ("masks: 3 images\n", "")


def test_a_user_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> str:
        raise UserError("a.jpg is empty: replace it")

    with pytest.raises(SystemExit) as stop:
        console.run(fail)
    assert stop.value.code == 1
    assert capsys.readouterr() == ("", "error: a.jpg is empty: replace it\n")


def test_control_characters_of_names_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does a line break make two lines of one."""
    name = "\x1b[31ma\nb\u202e\x07.jpg"

    def fail() -> str:
        raise UserError(f"{name} is empty")

    with pytest.raises(SystemExit):
        console.run(fail)
    console.run(lambda: f"masks: {name}\nmore")
    console.log(name)
    out, err = capsys.readouterr()
    shown = r"\x1b[31ma\nb\u202e\x07.jpg"
    assert err == f"error: {shown} is empty\n{shown}\n"
    assert out == "masks: \\x1b[31ma\nb\\u202e\\x07.jpg\nmore\n"


def test_other_letters_are_shown_as_they_are() -> None:
    for text in ("ünïcödé 部屋 🪑", "a b", ""):
        assert printable(text) == text
        assert str(UserError(text)) == text


def test_an_interruption_is_one_word_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        console.run(interrupt)
    assert stop.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_an_interruption_may_say_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt("3 of 7 images are done")

    with pytest.raises(SystemExit):
        console.run(interrupt)
    assert capsys.readouterr().err == "interrupted: 3 of 7 images are done\n"


def test_an_interruption_has_a_way_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> str:
        raise InterruptedWork("3 of 7 images are done", "`dvc repro` goes on there")

    with pytest.raises(SystemExit):
        console.run(interrupt)
    line = "interrupted: 3 of 7 images are done; `dvc repro` goes on there\n"
    assert capsys.readouterr().err == line


def test_what_was_typed_wrongly_has_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> str:
        raise UsageError("there is no --foo", "see `maskquery find --help`")

    with pytest.raises(SystemExit) as stop:
        console.run(fail)
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "error: there is no --foo: see `maskquery find --help`\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["photo.jpg"], [""]])
def test_a_stage_takes_no_arguments(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages.masks", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    problem = "error: python -m stages.masks takes no arguments"
    assert done.stderr == f"{problem}: change params.yaml, then run `dvc repro`\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(unbuffered: str) -> None:
    code = """
import sys
from maskquery.core import console
def main():
    print("first", flush=True)
    sys.stdin.readline()
    return "last"
console.run(main)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018 - for mypy
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_full_disk_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> str:
        raise OSError(28, "No space left on device", "data/masks.zarr")

    with pytest.raises(SystemExit) as stop:
        console.run(fail)
    assert stop.value.code == 1
    line = "error: [Errno 28] No space left on device: 'data/masks.zarr'\n"
    assert capsys.readouterr().err == line


def test_a_word_in_between_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.log("waiting")
    assert capsys.readouterr() == ("", "waiting\n")


def test_a_mistake_of_the_program_keeps_its_traceback() -> None:
    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        console.run(fail)


def test_quick_work_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(console.progress("abc", 3, "masks")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_long_work_shows_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "QUIET_SECONDS", -1.0)
    assert list(console.progress("abc", 3, "masks")) == ["a", "b", "c"]
    last = capsys.readouterr().err.split("\r")[-1]
    assert "masks" in last
    assert "3/3" in last
    assert "image" in last
