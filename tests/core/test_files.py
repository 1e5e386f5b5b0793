import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from maskquery.core import files


def test_a_hard_linked_file_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    cached, output = tmp_path / "cached", tmp_path / "output"
    cached.write_bytes(b"old")
    os.link(cached, output)
    files.write_file(output, b"new")
    assert (cached.read_bytes(), output.read_bytes()) == (b"old", b"new")


def test_a_linked_file_becomes_a_file_and_its_target_stays(tmp_path: Path) -> None:
    cached, output = tmp_path / "cached", tmp_path / "output"
    cached.write_bytes(b"old")
    output.symlink_to(cached)
    files.write_file(output, b"new")
    assert not output.is_symlink()
    assert (cached.read_bytes(), output.read_bytes()) == (b"old", b"new")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_bytes(b"old")

    def fail() -> None:
        with files.replacing_file(output) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
    assert output.read_bytes() == b"old"


def test_missing_parents_are_made(tmp_path: Path) -> None:
    files.write_file(tmp_path / "a" / "b", b"new")
    assert (tmp_path / "a" / "b").read_bytes() == b"new"


def test_a_folder_that_holds_files_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "gone").write_bytes(b"old")
    with files.replacing_folder(folder) as temporary:
        (temporary / "kept").write_bytes(b"new")
        assert (folder / "gone").exists()
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_files_that_a_cache_linked_into_a_folder_stay_as_they_are(tmp_path: Path) -> None:
    cached, folder = tmp_path / "cached", tmp_path / "store"
    cached.write_bytes(b"old")
    cached.chmod(0o444)
    folder.mkdir()
    os.link(cached, folder / "hard")
    (folder / "soft").symlink_to(cached)
    with files.replacing_folder(folder) as temporary:
        (temporary / "hard").write_bytes(b"new")
        (temporary / "soft").write_bytes(b"new")
    assert cached.read_bytes() == b"old"
    assert (folder / "hard").read_bytes() == (folder / "soft").read_bytes() == b"new"
    assert not (folder / "soft").is_symlink()


def test_a_link_to_a_folder_becomes_a_folder_and_its_target_stays(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "store"
    target.mkdir()
    (target / "old").touch()
    folder.symlink_to(target)
    with files.replacing_folder(folder) as temporary:
        (temporary / "new").touch()
    assert not folder.is_symlink()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in target.iterdir()] == ["old"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "old").touch()

    def fail() -> None:
        with files.replacing_folder(folder) as temporary:
            (temporary / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["store", "old"]


def test_what_a_killed_run_left_is_removed_and_what_another_still_builds_is_not(
    tmp_path: Path,
) -> None:
    left, built = tmp_path / ".store.dead.tmp", tmp_path / ".store.alive.tmp"
    for folder in (left, built):
        folder.mkdir()
        (folder / "half").touch()
    descriptor = os.open(built, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with files.replacing_folder(tmp_path / "store"):
            pass
    finally:
        os.close(descriptor)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".store.alive.tmp", "store"]


def test_a_file_that_a_killed_run_left_is_removed_and_one_being_written_is_not(
    tmp_path: Path,
) -> None:
    left, written = tmp_path / ".table.dead.tmp", tmp_path / ".table.alive.tmp"
    left.touch()
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        files.write_file(tmp_path / "table", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".table.alive.tmp", "table"]


def test_two_that_write_at_once_leave_the_whole_of_the_last(tmp_path: Path) -> None:
    with (
        files.replacing_file(tmp_path / "a") as first,
        files.replacing_file(tmp_path / "a") as last,
    ):
        first.write_bytes(b"first")
        last.write_bytes(b"last")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"first"


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        files.write_file(tmp_path / "file", b"")
        with files.replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    assert files.file_hash(tmp_path / "file") == hashlib.sha256(b"bytes").hexdigest()
