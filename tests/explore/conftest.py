import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from maskquery.masks.packed import ImageMasks
from tests.explore import site
from tests.explore.browsing import visit
from tests.explore.site import WIDE, Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
expect.set_options(timeout=120_000)  # machines under test are busy


class Site(NamedTuple):
    """A workspace, which tests leave as it is, the cache of finished work beside it, and its
    masks.
    """

    folder: Path
    cache: Path
    masks: dict[str, ImageMasks]


def labels(workspace: Site, image: str) -> npt.NDArray[np.int64]:
    """An image's label map."""
    found: npt.NDArray[np.int64] = np.load(workspace.folder / f"data/truth/{image}.npy")
    return found


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once; the prompts' embeddings are in its cache of finished work, as after `dvc
    repro`.
    """
    folder, cache = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKQUERY_CACHE", str(cache))
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
    monkeypatch.setitem(os.environ, "MASKQUERY_CACHE", str(workspace.cache))
    return workspace


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        reason = "no chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screenshots", numbered=False)


@pytest.fixture(scope="session")
def warm(server: Server) -> Server:
    """The server with torch loaded, which takes long on a busy machine."""
    asked = {"text": "something not named before", "image": None, "mask": None, "count": 1}
    assert server.post("/api/search", asked)[0] == 200
    return server


@pytest.fixture
def page(browser: Browser, warm: Server) -> Iterator[Page]:
    """A page on the wide image; a test fails if the page has thrown or logged an error."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, bypass_csp=False)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    found, complaints = context.new_page(), list[str]()
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    found.on("dialog", lambda dialog: complaints.append(dialog.message))
    found.set_default_timeout(120_000)
    visit(found, warm, WIDE)
    yield found
    context.close()
    asked_for = ("the server responded with a status of 400", "No.")  # by tests of errors
    assert not [text for text in complaints if not any(each in text for each in asked_for)]
