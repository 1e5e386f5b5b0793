"""Take docs/explorer.jpg anew, of what `dvc repro` made: python -m tests.explore.picture

The image is the middle one of the ranking of the first class, the mask that of its highest score
among those above the threshold. Chromium is needed.
"""

import re
import shutil

from playwright.sync_api import Page, expect, sync_playwright

from tests.explore import site
from tests.explore.conftest import BROWSERS
from tests.support.builders import ROOT

PICTURE = ROOT / "docs/explorer.jpg"


def main() -> None:
    """Serve this repository's workspace and take the picture."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit("no chromium: apt-get install chromium")
    with site.serving(ROOT, ROOT / ".cache") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1150}, color_scheme="light")
        page.goto(server.url)
        show(page)
        page.screenshot(path=PICTURE, type="jpeg", quality=85)
        browser.close()


def show(page: Page) -> None:
    """Open the middle image and choose a mask in it."""
    expect(page.locator("#ranked")).to_have_text(re.compile(r"^\d+ images"))
    links = page.locator("#cards a")
    link = links.nth(links.count() // 2)
    name = link.locator(".name").text_content() or ""
    link.click()
    expect(page.locator("#image-title")).to_have_text(name)
    chosen = page.locator("#mask-list button.chosen")
    (chosen if chosen.count() else page.locator("#mask-list button")).first.click()
    expect(page.locator("#crop")).to_have_js_property("complete", value=True)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    # Pictures on the page are drawn when they are loaded, not when they are asked for.
    page.wait_for_function("[...document.images].every(i => i.complete || i.loading === 'lazy')")
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    main()
