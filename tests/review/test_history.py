"""Files of other commits, in the places where projects live."""

import os
import subprocess
from pathlib import Path

import pytest

from maskquery.core import git as core_git
from maskquery.core.errors import UserError
from maskquery.review import history

FILE = Path("metrics/metrics.json")


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *names, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write(project: Path, text: str) -> None:
    (project / "metrics").mkdir(parents=True, exist_ok=True)
    (project / FILE).write_text(text)


def repository(root: Path, inside: str) -> Path:
    """A project in a folder of a repository: `main` has moved on since `change` left it."""
    project = root / inside
    write(project, "one")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=one")
    git(root, "switch", "--quiet", "--create=change")
    write(project, "change")
    git(root, "commit", "--quiet", "--all", "--message=change")
    git(root, "switch", "--quiet", "main")
    write(project, "two")
    git(root, "commit", "--quiet", "--all", "--message=two")
    git(root, "switch", "--quiet", "change")
    return project


@pytest.mark.parametrize("inside", [".", "sub", "deep/er"])
def test_a_file_is_read_relative_to_the_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inside: str
) -> None:
    monkeypatch.chdir(repository(tmp_path, inside))
    main = history.resolve("main")
    assert history.read(main, FILE) == "two"
    assert history.read(main, Path("metrics/none.json")) is None
    with pytest.raises(UserError, match="metrics is no file in "):
        history.read(main, Path("metrics"))
    base = history.merge_base(main)
    assert history.read(base, FILE) == "one"


def test_a_worktree_is_as_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository(tmp_path / "repository", "sub")
    git(tmp_path / "repository", "worktree", "add", "--quiet", str(tmp_path / "tree"), "main")
    monkeypatch.chdir(tmp_path / "tree/sub")
    assert history.read(history.resolve("change"), FILE) == "change"


def test_a_revision_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(repository(tmp_path, "."))
    for revision in ("nowhere", "--help-me", "main..change"):
        with pytest.raises(UserError, match=f"git knows no revision '{revision}' here"):
            history.resolve(revision)


def test_a_shallow_clone_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository(tmp_path / "repository", ".")
    clone = ("clone", "--quiet", "--depth=1", "--no-single-branch")
    git(tmp_path, *clone, f"file://{tmp_path}/repository", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(UserError, match="holds no common ancestor"):
        history.merge_base(history.resolve("origin/main"))


def test_a_clone_without_blobs_whose_remote_is_gone_fails_and_does_not_hang(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository(tmp_path / "repository", ".")
    git(tmp_path / "repository", "config", "uploadpack.allowFilter", "true")
    clone = ("clone", "--quiet", "--filter=blob:none")
    git(tmp_path, *clone, f"file://{tmp_path}/repository", str(tmp_path / "clone"))
    (tmp_path / "repository").rename(tmp_path / "gone")
    monkeypatch.chdir(tmp_path / "clone")
    main = history.resolve("origin/main")
    assert history.read(main, Path("metrics/none.json")) is None  # trees are here
    with pytest.raises(UserError, match=r"`git cat-file blob .*` failed"):
        history.read(main, FILE)


def test_git_is_quoted_where_it_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="failed: fatal: not a git repository"):
        history.resolve("HEAD")
    project = repository(tmp_path / "owned", ".")
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match="failed: fatal: detected dubious ownership"):
        history.resolve("HEAD")


def test_a_git_that_does_not_end_and_one_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(core_git, "SECONDS", 0.2)
    with pytest.raises(UserError, match=r"`git merge-base .*` did not end in 0\.2 s"):
        core_git.run("merge-base", "a", "b")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        core_git.run("version")
