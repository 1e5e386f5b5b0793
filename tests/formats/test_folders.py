import json
import os
from pathlib import Path

import pytest

from maskquery.core.errors import UserError
from maskquery.formats import folders
from maskquery.formats.folders import Output


def output(folder: Path, command: str = "maskquery export coco") -> Output:
    return Output(folder, command, folder.parent / "images")


def write(folder: Path, *names: str, command: str = "maskquery export coco") -> None:
    with output(folder, command).replacing({"names": names}) as temporary:
        for name in names:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_text(name)


def contents(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_a_folder_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "out", "one", "deep/two")
    write(tmp_path / "out", "three")
    assert contents(tmp_path / "out").keys() == {"three", folders.MARK}


def test_nothing_and_an_empty_folder_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty/deep").mkdir(parents=True)
    (tmp_path / "empty/deep").rmdir()
    for name in ("new", "empty"):
        output(tmp_path / name).expect_replaceable()


def test_a_file_that_is_gone_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path / "out", "one", "two")
    (tmp_path / "out/one").unlink()
    write(tmp_path / "out", "three")


def edit(folder: Path) -> None:
    (folder / "one").write_text("ONE")


def add(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def add_below(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep/notes.txt").write_text("mine")


def link(folder: Path) -> None:
    (folder / "one").rename(folder.parent / "kept")
    (folder / "one").symlink_to(folder.parent / "kept")


def swap(folder: Path) -> None:
    """Same size, same time of change: the bytes differ."""
    status = (folder / "one").stat()
    (folder / "one").write_text("eno")
    os.utime(folder / "one", ns=(status.st_atime_ns, status.st_mtime_ns))


def unmark(folder: Path) -> None:
    (folder / folders.MARK).unlink()


def old_mark(folder: Path) -> None:
    (folder / folders.MARK).write_text(json.dumps({"format": "coco"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit, "holds 'one', which has been changed"),
        (swap, "holds 'one', which has been changed"),
        (link, "holds 'one', which has been changed"),
        (add, "holds 'notes.txt', which is not of `maskquery export coco`"),
        (add_below, "holds 'deep/notes.txt', which is not of `maskquery export coco`"),
        (unmark, "holds other files"),
        (old_mark, "holds the results of an earlier version"),
    ],
)
def test_what_somebody_put_there_is_not_replaced(
    tmp_path: Path, change: object, message: str
) -> None:
    write(tmp_path / "out", "one", "two")
    change(tmp_path / "out")  # type: ignore[operator]
    before = contents(tmp_path / "out")
    with pytest.raises(UserError) as caught:
        write(tmp_path / "out", "three")
    assert f"{message}, which would be lost: move it away" in str(caught.value)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("change", [edit, add, unmark])
def test_what_somebody_puts_there_meanwhile_is_not_replaced(tmp_path: Path, change: object) -> None:
    write(tmp_path / "out", "one")

    def interrupted() -> None:
        with output(tmp_path / "out").replacing({}) as temporary:
            (temporary / "three").touch()
            change(tmp_path / "out")  # type: ignore[operator]

    with pytest.raises(UserError, match="which would be lost"):
        interrupted()
    assert "three" not in contents(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_another_command_does_not_replace_it(tmp_path: Path) -> None:
    write(tmp_path / "out", "one", command="maskquery pack")
    with pytest.raises(UserError, match="holds the results of `maskquery pack`"):
        write(tmp_path / "out", "two", command="maskquery find")


def test_a_file_and_the_current_folder_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is a file"):
        output(tmp_path / "thesis.tex").expect_replaceable()
    (tmp_path / "here/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here/below")
    for folder in (Path(), Path(".."), tmp_path / "here"):
        with pytest.raises(UserError, match="is the folder that this runs in, or is around it"):
            Output(folder, "maskquery find", tmp_path / "images").expect_replaceable()


def test_a_folder_among_the_images_is_refused(tmp_path: Path) -> None:
    for inside in (tmp_path, tmp_path / "out", tmp_path / "x" / ".." / "out"):
        with pytest.raises(UserError, match="would be taken for images next time"):
            Output(inside, "maskquery find", tmp_path).expect_replaceable()


def test_what_was_made_is_not_replaced_by_something_made_of_it(tmp_path: Path) -> None:
    write(tmp_path / "out", "one.jpg")
    for images in (tmp_path / "out/one.jpg", tmp_path / "out/deep/er"):
        with pytest.raises(UserError, match="would be lost with what is in"):
            Output(tmp_path / "out", "maskquery export coco", images).expect_replaceable()
