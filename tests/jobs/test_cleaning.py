import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from maskquery.core import locks
from maskquery.core.errors import UserError
from maskquery.jobs import cache, cells, cleaning
from maskquery.jobs.cells import Cells


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository, with the cache outside it."""
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "test@example.org")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "commit", "--allow-empty", "--quiet", "--message", "empty")
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def make(folder: Path, *names: str, days: float = 100) -> dict[str, str]:
    """An output of cells that were not used for so many days, and a dvc.lock that names it."""
    for name in names:
        Cells("masks").write(cache.key(name), name.encode())
        past = time.time() - days * cleaning.DAY
        os.utime(cache.cell("masks", cache.key(name)), (past, past))
    output = folder / "table"
    output.write_text(" ".join(names))
    cells.record(output, "masks", [cache.key(name) for name in names])
    listed = cache.root() / cells.OUTPUTS / cells.output_hash(output)
    os.utime(listed, (past, past))
    return {"path": "table", "md5": cells.output_hash(output)}


def lock(folder: Path, output: dict[str, str]) -> None:
    stages = {"masks": {"cmd": "true", "deps": [], "outs": [output]}}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def kept() -> set[str]:
    return {Cells("masks").read(c.name.removeprefix("masks/")).decode() for c in cleaning.find()}


def gc(folder: Path, days: float = 7, size: int | None = None, *, dry: bool = False) -> str:
    return cleaning.clean(folder, days, size, dry=dry)


@pytest.mark.parametrize("where", ["workspace", "branch", "tag", "experiment", "subfolder"])
def test_what_a_dvc_lock_names_is_kept(repository: Path, where: str) -> None:
    folder = repository / "sub" if where == "subfolder" else repository
    folder.mkdir(exist_ok=True)
    make(repository, "old a", "old b")
    lock(folder, make(repository, "a", "b"))
    if where != "workspace":
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "results")
        ref = {"tag": "refs/tags/v1", "experiment": "refs/exps/12/3456/bold-name"}
        git(repository, "update-ref", ref.get(where, "refs/heads/other"), "HEAD")
        git(repository, "reset", "--quiet", "--hard", "HEAD~1")
        folder.mkdir(exist_ok=True)
    assert gc(folder) == "removed: 2 cells, 74 bytes; kept: 2 cells, 66 bytes"
    assert kept() == {"a", "b"}
    assert len(list((cache.root() / cells.OUTPUTS).iterdir())) == 1


def test_what_was_used_of_late_is_kept(repository: Path) -> None:
    make(repository, "today", days=0)
    make(repository, "last week", days=6)
    make(repository, "long ago", days=8)
    gc(repository, dry=True)
    assert kept() == {"today", "last week", "long ago"}
    make(repository, "today", days=0)
    make(repository, "last week", days=6)
    make(repository, "long ago", days=8)
    gc(repository)
    assert kept() == {"today", "last week"}
    make(repository, "today", days=1)
    gc(repository, days=0)
    assert kept() == set()


def test_a_size_is_kept_to_and_what_is_needed_goes_last(repository: Path) -> None:
    make(repository, "old", days=3)
    make(repository, "new", days=1)
    lock(repository, make(repository, "us1", days=50))
    lock_size = 35
    gc(repository, size=3 * lock_size)
    assert len(cleaning.find()) == 3
    for size, left in [(3 * 35 - 1, {"new", "us1"}), (35, {"us1"}), (34, set())]:
        gc(repository, size=size)
        found = {path.read_bytes()[:-32].decode() for path in (c.path for c in cleaning.find())}
        assert found == left


def test_nothing_else_in_the_folder_is_touched(repository: Path) -> None:
    others = ["demo-models/rooms/00/room.png", "masks/ab/notes", "masks/x", "0a/" + "0" * 62]
    for name in others:
        path = cache.root() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    make(repository, "a")
    temporary = cache.cell("masks", cache.key("a")).with_suffix(".0123.tmp")
    temporary.touch()
    gc(repository, days=0)
    found = {str(p.relative_to(cache.root())) for p in cache.root().rglob("*") if p.is_file()}
    assert found == {*others, cells.IN_USE}


def test_not_while_a_stage_runs(repository: Path) -> None:
    make(repository, "a")
    with (
        cells.exclusive_output(repository / "table"),
        pytest.raises(UserError, match="clean when it is done"),
    ):
        gc(repository)
    assert kept() == {"a"}
    waited = []

    def stage() -> None:
        with cells.exclusive_output(repository / "table"):
            waited.append(time.monotonic())

    with locks.alone(cache.root() / cells.IN_USE) as held:
        assert held
        thread = threading.Thread(target=stage)
        thread.start()
        time.sleep(0.2)
        assert not waited, "a stage waits until the cleaning is over"
    thread.join()
    assert waited


@pytest.mark.parametrize("text", ["", "nonsense: [", "[]", "stages: 3", "stages: {a: {outs: [3]}}"])
def test_a_dvc_lock_that_is_none_names_nothing(repository: Path, text: str) -> None:
    (repository / "dvc.lock").write_text(text)
    make(repository, "a")
    gc(repository)
    assert kept() == set()


def test_an_output_that_is_no_hash_is_no_path(repository: Path) -> None:
    lock(repository, {"path": "table", "md5": "../../../etc/passwd"})
    assert list(cleaning.outputs_of((repository / "dvc.lock").read_text())) == []


def test_the_listing(repository: Path, tmp_path: Path) -> None:
    make(repository, "old")
    lock(repository, make(repository, "new"))
    assert cleaning.report(repository) == (
        f"{tmp_path / 'cells'}: 2 cells, 70 bytes\n"
        "  masks: 2 cells, 70 bytes; needed by dvc.lock in the workspace, branches, tags and "
        "experiments: 1 cells, 35 bytes"
    )


def test_outside_git_the_workspace_counts(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    make(folder, "old")
    lock(folder, make(folder, "new"))
    gc(folder)
    assert kept() == {"new"}


def test_nothing_is_removed_where_git_refuses_to_look(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(repository, "old")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match="dubious ownership"):
        gc(repository)
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(UserError, match="git is not installed: install it"):
        gc(repository)
    assert kept() == {"old"}


def test_what_another_project_needs_is_kept(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other\nclone"
    other.mkdir()
    (other / "params.yaml").touch()
    monkeypatch.chdir(other)
    with cells.exclusive_output(Path("table")):
        lock(other, make(other, "a"))
    make(repository, "old")
    gc(repository)
    assert kept() == {"a"}
    other.rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"also used by .*other\\nclone, which is not there: clean"):
        gc(repository)
    (note,) = (cache.root() / cells.PROJECTS).iterdir()
    note.unlink()
    gc(repository, days=0)
    assert kept() == set()


def test_the_listing_does_not_call_what_has_no_list_unneeded(repository: Path) -> None:
    Cells("texts").write(cache.key("a chair"), b"vector")
    assert "texts: 1 cells, 38 bytes; made again in a moment" in cleaning.report(repository)


def test_an_empty_cache(repository: Path) -> None:
    assert gc(repository) == "removed: 0 cells, 0 bytes; kept: 0 cells, 0 bytes"
    assert cleaning.report(repository).endswith(": 0 cells, 0 bytes")


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 m", 1_500_000), ("0", 0), ("1e3", 1000)]
)
def test_sizes(text: str, size: int) -> None:
    assert cleaning.size_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "1 PB", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 20GB"):
        cleaning.size_of(text)


def test_the_command(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    make(repository, "old")
    assert cleaning.main([]).endswith("experiments: 0 cells, 0 bytes")
    line = "would be removed: 1 cells, 35 bytes; kept: 0 cells, 0 bytes"
    assert cleaning.main(["gc", "--dry-run"]) == line
    assert cleaning.main(["gc", "--days", "200"]).startswith("removed: 0 cells")
    assert cleaning.main(["gc", "--size", "30B", "--days", "200"]).startswith("removed: 1 ")
    assert kept() == set()
