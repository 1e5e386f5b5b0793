import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from retrieval.masks import ImageMasks
from tests.explore import site
from tests.explore.site import Server


class Site(NamedTuple):
    """A workspace, which tests leave as it is, the side cache beside it, and its masks."""

    folder: Path
    cache: Path
    masks: dict[str, ImageMasks]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once; the prompts' embeddings are in its side cache, as after `dvc repro`."""
    folder, cache = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_CACHE", str(cache))
        return Site(folder, cache, site.build(folder))


@pytest.fixture(scope="session")
def server(workspace: Site) -> Iterator[Server]:
    """Shared by all tests."""
    with site.serving(workspace.folder, workspace.cache) as running:
        yield running


@pytest.fixture
def inside(workspace: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """This process in the workspace."""
    monkeypatch.chdir(workspace.folder)
    monkeypatch.setitem(os.environ, "RETRIEVAL_CACHE", str(workspace.cache))
    return workspace
