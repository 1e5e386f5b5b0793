"""What tests do with the page."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.explore.site import Server


def visit(page: Page, server: Server, image: str, part: str = "all") -> None:
    page.goto("about:blank")
    page.goto(server.url + link(page, image))
    expect(page.locator("#image-title")).to_have_text(image)
    page.get_by_label("Split").select_option(part)
    expect(page.locator("#ranked")).to_have_text(re.compile(r"^\d+ images"))


def link(page: Page, image: str) -> str:
    return "/#" + page.evaluate("image => new URLSearchParams({image}).toString()", image)


def prompts_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name=re.compile("^Prompts"))


def set_threshold(page: Page, value: float) -> None:
    page.locator("#number").fill(str(value))


def number(text: str | None) -> int:
    return int(re.sub(r"\D", "", text or ""))
