"""Packing a folder: the same images in few files, and few of them change."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskquery.core.errors import UserError
from maskquery.formats import export, folders, pack
from maskquery.formats.objects import Files
from maskquery.images import image_files, sources
from tests.formats.conftest import Pipeline
from tests.support.builders import ROOT


def contents(source: Path) -> dict[str, bytes]:
    """By name, images or not."""
    found = {name: image_files.read_bytes(file) for name, file in sources.files_of(source)}
    found.pop("made.json", None)
    return found


def folder_of(path: Path, count: int) -> Path:
    for number in range(count):
        (path / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (path / f"{number % 3}/room {number}.jpg").write_bytes(bytes([number]) * number)
    return path


def test_what_is_packed_is_there_again(tmp_path: Path) -> None:
    folder, packed = folder_of(tmp_path / "images", 20), tmp_path / "packed"
    (folder / "notes.txt").write_text("dear diary")
    (folder / ".hidden.jpg").touch()
    line = pack.run(folder, packed)
    count = len(list(packed.glob("*.zip")))
    assert 10 < count <= 21
    assert line == (
        f"pack: 21 files in {count} archives in {packed}, {count} of them written, 0 removed"
    )
    assert contents(packed) == contents(folder)
    assert list(image_files.find(packed)) == list(image_files.find(folder))
    assert {path.name for path in packed.iterdir()} >= {"made.json"}


def test_one_changed_image_changes_one_archive(tmp_path: Path) -> None:
    folder, packed = folder_of(tmp_path / "images", 20), tmp_path / "packed"
    pack.run(folder, packed)
    before = {path.name: (path.stat(), path.read_bytes()) for path in packed.iterdir()}
    (folder / "1/room 4.jpg").write_bytes(b"other")
    assert pack.run(folder, packed).endswith(" 1 of them written, 0 removed")
    changed = [
        path.name for path in packed.iterdir() if path.stat().st_ino != before[path.name][0].st_ino
    ]
    assert len([name for name in changed if name != "made.json"]) == 1
    (folder / "1/room 4.jpg").write_bytes(bytes([4]) * 4)
    pack.run(folder, packed)
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == {
        name: data for name, (_, data) in before.items()
    }


def test_archives_go_with_their_images_and_damaged_ones_are_named(tmp_path: Path) -> None:
    folder, packed = folder_of(tmp_path / "images", 20), tmp_path / "packed"
    pack.run(folder, packed)
    first = sorted(packed.glob("*.zip"))[0]
    first.write_bytes(first.read_bytes()[:-9])
    (folder / "2/room 5.jpg").unlink()
    with pytest.raises(UserError, match=f"holds '{first.name}', which has been changed"):
        pack.run(folder, packed)
    first.unlink()
    pack.run(folder, packed)
    assert contents(packed) == contents(folder)


def test_the_bytes_of_archives_depend_on_the_files_alone(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one", 20), folder_of(tmp_path / "two", 9)
    pack.run(two, tmp_path / "packed two")
    folder_of(two, 20)
    pack.run(one, tmp_path / "packed one")
    pack.run(two, tmp_path / "packed two")
    pack.run(tmp_path / "packed one", tmp_path / "again")
    made = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.zip")}
        for name in ("packed one", "packed two", "again")
    ]
    assert made[0] == made[1] == made[2]


def test_the_tar_command_of_the_docs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", 20)
    (folder / "1/linked.jpg").symlink_to(folder / "1/room 4.jpg")
    (folder / "1/twice.jpg").hardlink_to(folder / "1/room 4.jpg")
    (tmp_path / "packed").mkdir()
    documented = (ROOT / "docs/sources.md").read_text()
    [command] = [line for line in documented.splitlines() if line.startswith("tar -cf")]
    command = command.replace("data/packed", "packed").replace("data/mine", "images")
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert contents(tmp_path / "packed") == contents(folder)


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").touch()
    with pytest.raises(UserError, match="holds other files"):
        pack.run(folder, tmp_path / "other")
    with pytest.raises(UserError, match="would be taken for images"):
        pack.run(folder, folder / "packed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        pack.run(tmp_path / "empty", tmp_path / "packed")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_run_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    """Killed when the mark names the new archive, before and after the archive stands there."""
    folder, packed = folder_of(tmp_path / "images", 20), tmp_path / "packed"
    pack.run(folder, packed)
    for number in range(20):
        (folder / f"{number % 3}/room {number}.jpg").write_bytes(b"other")
    calls = 0
    save, replace = folders.Additions.save, Path.replace

    def killed_after_mark(additions: folders.Additions, before: dict[str, str]) -> None:
        nonlocal calls
        save(additions, before)
        calls += bool(before)
        if calls == 3 and moment == "before":
            raise KeyboardInterrupt

    def killed_after_move(path: Path, target: Path) -> Path:
        done = replace(path, target)
        if calls == 3 and target.suffix == ".zip" and moment == "after":
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(folders.Additions, "save", killed_after_mark)
        patch.setattr(Path, "replace", killed_after_move)
        with pytest.raises(KeyboardInterrupt):
            pack.run(folder, packed)
    count = len(list(packed.glob("*.zip")))
    written = count - (2 if moment == "before" else 3)
    assert pack.run(folder, packed).endswith(f" {written} of them written, 0 removed")
    assert contents(packed) == contents(folder)


def test_other_files_do_not_take_the_place_of_those_that_are_packed(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one", 5), folder_of(tmp_path / "two", 3)
    pack.run(one, tmp_path / "packed")
    there = contents(tmp_path / "packed")
    with pytest.raises(UserError, match=r"holds what .*/one held, and would lose it to .*/two"):
        pack.run(two, tmp_path / "packed")
    assert contents(tmp_path / "packed") == there
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in ("one", "packed"):
        (tmp_path / folder).rename(moved / folder)
    assert pack.run(moved / "one", moved / "packed").endswith(" 0 of them written, 0 removed")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", 3)
    subprocess.run(
        ["tar", "-cf", "images/all.tar", "-C", "images", "0", "1"], cwd=tmp_path, check=True
    )
    with pytest.raises(UserError, match=r"have one name, '0/room 0\.jpg': rename one"):
        pack.run(folder, tmp_path / "packed")


@pytest.mark.parametrize("name", export.FORMATS)
def test_exports_of_packed_images_are_those_of_loose_ones(
    pipeline: Pipeline, tmp_path: Path, name: str
) -> None:
    own = pipeline.files
    pack.run(own.images, tmp_path / "packed")
    packed = Files(tmp_path / "packed", own.predictions, own.masks)
    made = []
    for files in (own, packed):
        out = tmp_path / f"out {len(made)}"
        export.run(name, export.FORMATS[name], files, "classes", out)
        paths = [path for path in sorted(out.rglob("*")) if path.is_file()]
        made.append({path.relative_to(out): path.read_bytes() for path in paths})
    assert made[0] == made[1]


def test_at_the_command_line(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", 3)
    done = subprocess.run(
        [sys.executable, "-m", "maskquery", "pack", "images", "--out", "packed"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pack: 3 files in ")
