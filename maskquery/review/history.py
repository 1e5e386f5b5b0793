"""Files and DVC's own reports of another revision of this project.

The project is the folder of params.yaml, which is the current one: the root of a git repository, or
a folder in it. A missing file and a git that fails are distinguished.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from maskquery.core import git
from maskquery.core.errors import UserError

DVC_SECONDS = 900


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC, whatever comes of it.

    Raises:
        UserError: it does not end.
    """
    try:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=os.environ | git.ENVIRONMENT,
            timeout=DVC_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"`dvc {' '.join(arguments)}` did not end in {DVC_SECONDS} s") from None


def resolve(revision: str) -> str:
    """The commit that a branch, tag or commit names, in hex.

    Raises:
        UserError: there is none, or git refuses to look.
    """
    try:
        return git.run("rev-parse", "--verify", "--end-of-options", revision + "^{commit}").strip()
    except UserError as error:
        if "Needed a single revision" not in str(error):
            raise
    raise UserError(f"git knows no revision {revision!r} here", "fetch it, or name another")


def merge_base(commit: str) -> str:
    """The commit at which the work in the current branch left the branch of `commit`.

    Raises:
        UserError: the history that is here does not reach it.
    """
    try:
        return git.run("merge-base", commit, "HEAD").strip()
    except UserError:
        raise UserError(
            f"the history that is here holds no common ancestor of {commit[:10]} and HEAD: fetch "
            "it whole (`git fetch --unshallow`)"
        ) from None


def read(commit: str, path: Path) -> str | None:
    """A text file as it was in a commit; None if the commit had none.

    Args:
        commit: in hex.
        path: relative to the project.

    Raises:
        UserError: git cannot tell.
    """
    return git.read(commit, path)


def difference(kind: str, commit: str) -> dict[str, dict[str, Any]]:
    """`dvc KIND diff` between a commit and the workspace: by file and name "old", "new", "diff".

    Files of other projects of the repository are left out.

    Raises:
        UserError: DVC could not tell.
    """
    done = dvc(kind, "diff", commit, "--json")
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise UserError(f"`dvc {kind} diff {commit[:10]}` failed: {words[-300:]}")
    tree: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return {file: names for file, names in tree.items() if not file.startswith("..")}
