from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.workspace import Done, Workspace


class Made(NamedTuple):
    """A workspace whose pipeline was run and committed, and what the run printed."""

    workspace: Workspace
    first: Done
    status: str  # git's, before the commit


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Shared by all tests, which leave it as it is; `workspace` is a copy to change."""
    workspace = Workspace.create(tmp_path_factory.mktemp("made") / "repository")
    first = workspace.dvc("repro")
    status = workspace.git("status", "--short")
    workspace.commit()
    return Made(workspace, first, status)


@pytest.fixture
def workspace(made: Made, tmp_path: Path) -> Workspace:
    """A copy of `made`."""
    return made.workspace.copy(tmp_path / "repository")
