"""git: every call has a time limit, and errors quote git."""

import os
import subprocess
from pathlib import Path

from maskquery.core.errors import UserError

SECONDS = 60

# A clone without its blobs would fetch each from a remote that may be out of reach.
ENVIRONMENT = {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def run(*arguments: str, folder: Path | None = None) -> str:
    """What git prints.

    Args:
        arguments: of git.
        folder: where it runs; None for the current one.

    Raises:
        UserError: git is missing, does not end, or refuses, in its own words.
    """
    command = f"`git {' '.join(arguments)}`"
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("git is not installed", "install it") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command} did not end in {SECONDS} s") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"{command} failed: {words[-300:] or 'it says nothing'}")
    return done.stdout


def holds(folder: Path) -> bool:
    """Whether a folder is in a git repository.

    Raises:
        UserError: it may be, but git is missing or refuses to look, as in a repository of another
            owner.
    """
    try:
        run("rev-parse", "--git-dir", folder=folder)
    except UserError as error:
        if "not a git repository" in str(error):
            return False
        here = folder.absolute()
        if not any((parent / ".git").exists() for parent in (here, *here.parents)):
            return False
        raise
    return True


def read(commit: str, path: Path, folder: Path | None = None) -> str | None:
    """A text file as it was in a commit; None if the commit had none.

    Args:
        commit: in hex.
        path: relative to `folder`.
        folder: a folder of the repository; None for the current one.

    Raises:
        UserError: git cannot tell.
    """
    entry = run("ls-tree", "-z", commit, "--", f"./{path.as_posix()}", folder=folder).strip("\0")
    if not entry:
        return None
    _, kind, name = entry.partition("\t")[0].split()
    if kind != "blob":
        raise UserError(f"{path} is no file in {commit[:10]}")
    return run("cat-file", "blob", name, folder=folder)
