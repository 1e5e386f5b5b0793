"""Files and DVC's own reports of another revision of this repository."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from maskquery.core.errors import UserError


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, whatever comes of it."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC, whatever comes of it."""
    return run(sys.executable, "-m", "dvc", *arguments)


def resolve(revision: str) -> str:
    """The commit that a branch, tag or commit names, in hex.

    Raises:
        UserError: there is none.
    """
    found = run(
        "git", "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}"
    )
    if found.returncode:
        raise UserError(f"git knows no revision {revision!r} here: fetch it, or name another")
    return found.stdout.strip()


def read(commit: str, path: Path) -> str | None:
    """A text file as it was in a commit; None if the commit had none."""
    found = run("git", "show", f"{commit}:{path.as_posix()}")
    return None if found.returncode else found.stdout


def difference(kind: str, commit: str) -> dict[str, dict[str, Any]]:
    """`dvc KIND diff` between a commit and the workspace: by file and name "old", "new", "diff".

    Raises:
        UserError: DVC could not tell.
    """
    found = dvc(kind, "diff", commit, "--json")
    if found.returncode:
        raise UserError(f"`dvc {kind} diff` failed: {found.stderr.strip()[-300:]}")
    tree: dict[str, dict[str, Any]] = json.loads(found.stdout)
    return tree
