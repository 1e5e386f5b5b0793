"""The page says what there is not, and shows nothing that no longer holds."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.explore.browsing import number, prompts_of, set_threshold
from tests.explore.site import EMPTY, HOSTILE, SPARE, WIDE, Server

pytestmark = pytest.mark.slow


def test_the_page_opens_with_the_first_of_its_list(page: Page, server: Server) -> None:
    page.goto("about:blank")
    page.goto(server.url)
    expect(page.locator("#ranked")).to_have_text("3 images")
    first = page.locator("#cards .name").first.text_content()
    assert first != sorted([WIDE, HOSTILE, EMPTY])[0]
    expect(page.locator("#image-title")).to_have_text(str(first))
    expect(page.locator("#cards a").first).to_have_attribute("aria-current", "true")


def test_the_list_follows_the_image(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 500})
    page.get_by_label("Order").select_option("name")
    title, names = page.locator("#image-title"), page.locator("#cards .name").all_text_contents()
    for name in names[names.index(WIDE) + 1 :]:
        page.keyboard.press("]")
        expect(title).to_have_text(name)
        inside = page.evaluate(
            """() => {
              const card = document.querySelector('#cards a[aria-current]').getBoundingClientRect();
              const list = document.getElementById('cards').getBoundingClientRect();
              return card.top >= list.top - 1 && card.bottom <= list.bottom + 1;
            }"""
        )
        assert inside
    expect(page.get_by_role("button", name="Next image")).to_be_disabled()


def test_an_image_that_the_list_leaves_out_is_said(page: Page) -> None:
    page.get_by_label("Split").select_option("calibration")
    expect(page.locator("#ranked")).to_have_text("1 image; the one that is open is not among them")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Explorer").click()
    page.keyboard.press("]")
    expect(page.locator("#image-title")).to_have_text(SPARE)
    expect(page.locator("#ranked")).to_have_text("1 image")


def test_without_ground_truth_there_is_no_figure_of_it(page: Page) -> None:
    page.get_by_label("only false negatives").check()
    page.get_by_role("combobox", name="Class").select_option("<b>lamp</b>")
    expect(page.locator("#no-truth")).to_contain_text("There is no ground truth of <b>lamp</b>")
    for hidden in ("#show", "#chart", ".chart-key", "#truth", "#fn-count", "#fp-count"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator("#ranked")).to_have_text("4 images")
    options = page.locator("#order option").all_text_contents()
    assert options == ["most pixels", "fewest pixels", "by name"]
    counts = [number(text) for text in page.locator("#cards .figure").all_text_contents()]
    assert counts == sorted(counts, reverse=True)
    assert max(counts) > 0
    page.get_by_role("combobox", name="Class").select_option("chair")
    expect(page.locator("#chart")).to_be_visible()
    expect(page.locator("#no-truth")).to_be_hidden()
    expect(page.get_by_label("everything")).to_be_checked()
    assert page.locator("#order option").first.text_content() == "lowest IoU"


def test_numbers_stay_within_their_bounds(page: Page) -> None:
    field = page.locator("#number")
    for typed, shown in (("5", "1"), ("-3", "-1"), ("0.3", "0.3"), ("", "0.3"), ("1e400", "0.3")):
        field.evaluate("(field, typed) => { field.value = typed; }", typed)
        field.dispatch_event("input")
        field.dispatch_event("change")
        expect(field).to_have_value(shown)
    page.get_by_role("combobox", name="Scoring").select_option("softmax")
    temperature = page.get_by_label("Temperature")
    for typed, shown in (("0", "0.0001"), ("-1", "0.0001"), ("1e9", "1000")):
        temperature.fill(typed)
        temperature.dispatch_event("change")
        expect(temperature).to_have_value(shown)
    temperature.fill("")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("alert")).to_have_text("temperature: write a number, such as 0.05")


def test_a_copied_line_is_hidden_when_it_is_no_longer_what_is_seen(page: Page) -> None:
    line = page.locator("#line")

    def change_class() -> None:
        page.get_by_role("combobox", name="Class").select_option("table")

    def change_prompts() -> None:
        prompts_of(page).fill("a desk")
        page.get_by_role("button", name="Try").click()

    for change in (lambda: set_threshold(page, 0.3), change_prompts, change_class):
        page.get_by_role("button", name=re.compile("^Cop")).click()
        expect(line).to_be_visible()
        change()
        expect(line).to_be_hidden()


def test_boxes_of_prompts_show_all_their_lines(page: Page) -> None:
    page.get_by_role("combobox", name="Scoring").select_option("softmax")
    for box in (prompts_of(page), page.get_by_label("Negative prompts")):
        box.fill("\n".join(f"a chair of kind {place}" for place in range(8)))
        assert box.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
    page.get_by_role("combobox", name="Class").select_option("table")
    expect(prompts_of(page)).to_have_value("a table\na desk")
    assert prompts_of(page).evaluate("box => box.clientHeight") < 100


def test_what_is_known_of_a_mask_is_seen_without_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 1400, "height": 950})
    page.locator("#mask-list button").first.click()
    for each in ("#crop", "#facts", "#similar", "#prompt-scores"):
        box = page.locator(each).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 950, each


def test_without_images_the_page_says_what_to_do(page: Page, server: Server) -> None:
    start = page.evaluate("fetch('/api/workspace').then(answer => answer.json())")
    page.route("**/api/workspace", lambda route: route.fulfill(json={**start, "images": []}))
    page.goto("about:blank")
    page.goto(server.url)
    expect(page.locator("#no-images")).to_be_visible()
    expect(page.locator("#images-view")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_where_no_image_shows_the_class_there_is_no_chart(page: Page) -> None:
    page.get_by_label("Split").select_option("calibration")
    page.evaluate("location.hash = '#image=b+2'")
    expect(page.locator("#image-title")).to_have_text(SPARE)
    expect(page.locator("#mean")).to_have_text("No image of these shows chair.")
    expect(page.locator("#chart")).to_be_hidden()
    page.get_by_label("Split").select_option("all")
    expect(page.locator("#chart")).to_be_visible()
