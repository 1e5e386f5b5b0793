"""The page in a real browser: every feature is clicked through, and pictures of it are kept.

They lie in pytest's folder of the session, `screenshots`.
"""

import base64
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from maskquery.clip import texts
from tests.explore.browsing import link, number, prompts_of, set_threshold, visit
from tests.explore.conftest import Site, labels
from tests.explore.site import CLASSES, EMPTY, HOSTILE, SPARE, THRESHOLD, VIEWS, WIDE, Server

TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE = (
    [0, 158, 115, 153],
    [0, 114, 178, 153],
    [213, 94, 0, 153],
)


pytestmark = pytest.mark.slow


def pixels(page: Page, canvas: str) -> np.ndarray:
    """What a canvas shows: (H, W, 4) uint8."""
    width, height, data = page.evaluate(
        """id => {
          const canvas = document.getElementById(id), {width, height} = canvas;
          const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
          let text = '';
          for (let at = 0; at < data.length; at += 8192)
            text += String.fromCharCode(...data.subarray(at, at + 8192));
          return [width, height, btoa(text)];
        }""",
        canvas,
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)


def score_of(server: Server, image: str, column: int = 0, **changes: Any) -> np.ndarray:
    """The server's scores of an image's masks."""
    settings = json.loads(server.get("/api/workspace")[1])["settings"]
    settings |= {key: value for key, value in changes.items() if key in settings}
    settings["scores"] |= {key: value for key, value in changes.items() if key not in settings}
    _, found = server.post("/api/scores", {"image": image, "settings": settings})
    return np.array([row[column] for row in found["scores"]], np.float32)


def union(workspace: Site, image: str, score: np.ndarray, threshold: float) -> np.ndarray:
    """What the pipeline would predict: (H, W) bool."""
    masks = workspace.masks[image]
    stack = np.unpackbits(masks.masks, axis=-1, count=masks.width).astype(bool)
    return stack[score > np.float32(threshold)].any(axis=0)


def test_overlay_and_iou_follow_the_threshold(page: Page, server: Server, workspace: Site) -> None:
    asked: list[str] = []
    score = score_of(server, WIDE)
    page.on("request", lambda request: asked.append(request.url))
    for threshold in (-0.9, 0.2, THRESHOLD, 0.9):
        set_threshold(page, threshold)
        expect_overlay(page, workspace, union(workspace, WIDE, score, threshold))
    assert not asked, "the page asked the server for what it knows"


def expect_overlay(page: Page, workspace: Site, found: np.ndarray) -> None:
    """The page shows a prediction, (H, W) bool, of chairs on the wide image."""
    true = labels(workspace, WIDE) == 1
    iou = (found & true).sum() / (found | true).sum()
    expect(page.locator("#figure")).to_have_text(f"IoU {iou:.3f}")
    wanted = np.zeros((*true.shape, 4), np.uint8)
    wanted[found & true], wanted[true & ~found], wanted[found & ~true] = (
        TRUE_POSITIVE,
        FALSE_NEGATIVE,
        FALSE_POSITIVE,
    )
    painted = pixels(page, "colours")
    assert np.array_equal(painted[..., 3], wanted[..., 3])
    # A canvas keeps colours multiplied by their opacity, and so rounded.
    assert np.abs(painted.astype(int) - wanted).max() <= 1
    assert np.array_equal(pixels(page, "prediction")[..., 0] == 255, found)
    assert np.array_equal(pixels(page, "truth")[..., 0] == 255, true)
    for name, part in (("tp", found & true), ("fn", true & ~found), ("fp", found & ~true)):
        assert number(page.locator(f"#{name}-count").text_content()) == part.sum()


def test_the_slider_the_number_and_the_curve_agree(page: Page, pictures: Path) -> None:
    slider = page.get_by_role("slider", name="Threshold")
    before = float(slider.input_value())
    assert before == pytest.approx(THRESHOLD)
    slider.focus()
    page.keyboard.press("ArrowRight")
    after = float(slider.input_value())
    assert after > before
    assert float(page.locator("#number").input_value()) == pytest.approx(after, abs=1e-4)
    chart = page.locator("#chart")
    label = chart.get_attribute("aria-label") or ""
    figure = (page.locator("#figure").text_content() or "").removeprefix("IoU ")
    assert label.endswith(f"at {after:.3f} it is {figure}")
    marked = float(page.locator("#chart .marker").get_attribute("x1") or "nan")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert float(page.locator("#chart .marker").get_attribute("x1") or "nan") < marked
    low, high = (float(slider.get_attribute(end) or "nan") for end in ("min", "max"))
    share = (170 - 30) / (326 - 30)
    assert float(slider.input_value()) == pytest.approx(low + share * (high - low), abs=0.01)
    page.screenshot(path=pictures / "threshold.png")


def test_a_mask_shows_what_is_known_of_it(
    page: Page, server: Server, workspace: Site, pictures: Path
) -> None:
    masks = workspace.masks[WIDE]
    stack = np.unpackbits(masks.masks, axis=-1, count=1024).astype(bool)
    at, (y, x) = place_in_several(page, stack)
    under = np.nonzero(stack[:, y, x])[0]
    smallest, larger = under[np.argsort(masks.areas[under], kind="stable")][:2]
    page.mouse.move(*at)
    expect(page.locator("#tip")).to_contain_text("score")
    facts = page.locator("#facts")
    expect(facts).to_contain_text(str(masks.ids[smallest]))
    x0, y0, x1, y1 = masks.boxes[smallest].tolist()
    expect(facts).to_contain_text(f"{x1 - x0} × {y1 - y0} at {x0}, {y0}")
    assert pixels(page, "outline")[..., 3].any()
    page.get_by_role("heading", name="Explorer").hover()
    expect(facts).to_be_hidden()
    assert not pixels(page, "outline")[..., 3].any()

    page.mouse.click(*at)
    page.get_by_role("heading", name="Explorer").hover()
    expect(facts).to_contain_text(str(masks.ids[smallest]))
    crop = page.locator("#crop")
    expect(crop).to_have_js_property("complete", value=True)
    assert crop.evaluate("image => image.naturalWidth") > 0
    prompts = page.locator("#prompt-scores li")
    expect(prompts).to_have_count(4)
    shown = {
        row.locator(".text").text_content(): row.locator(".value").text_content()
        for row in prompts.all()
    }
    assert set(shown) == {prompt for own in CLASSES.values() for prompt in own}
    score = score_of(server, WIDE)
    assert shown["a chair"] == f"{score[smallest]:.3f}"
    page.screenshot(path=pictures / "mask.png")

    page.mouse.click(*at)
    expect(facts).to_contain_text(str(masks.ids[larger]))
    page.keyboard.press("Escape")
    expect(facts).to_be_hidden()


def place_in_several(page: Page, stack: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """A place on the screen under which lie two masks or more, and its pixel's y and x."""
    box = page.locator("#outline").bounding_box()
    assert box is not None
    for left, top in itertools.product(range(40, 400, 7), range(40, 300, 7)):
        place = int(box["x"]) + left, int(box["y"]) + top
        y = int((place[1] - box["y"]) / box["height"] * 768)
        x = int((place[0] - box["x"]) / box["width"] * 1024)
        if stack[:, y, x].sum() > 1:
            return place, (y, x)
    raise AssertionError("no two masks overlap")


def test_masks_can_be_gone_through_by_keyboard(page: Page, workspace: Site, server: Server) -> None:
    order = np.argsort(-score_of(server, WIDE), kind="stable")
    ids = workspace.masks[WIDE].ids
    page.locator("#outline").focus()
    for key, place in (("Down", 0), ("Right", 1), ("Down", 2), ("Up", 1), ("Left", 0)):
        page.keyboard.press(f"Arrow{key}")
        expect(page.locator("#facts")).to_contain_text(str(ids[order[place]]))
    fourth = page.locator("#mask-list button").nth(3)
    fourth.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text(str(ids[order[3]]))
    expect(fourth).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(fourth).to_have_attribute("aria-pressed", "false")


def test_images_are_ranked_and_filtered(
    page: Page, server: Server, workspace: Site, pictures: Path
) -> None:
    counts = {}
    for image in (WIDE, HOSTILE, SPARE, EMPTY):
        found = union(workspace, image, score_of(server, image), THRESHOLD)
        true = labels(workspace, image) == 1
        counts[image] = [(found & true).sum(), (found & ~true).sum(), (true & ~found).sum()]
    ious = {image: hits / max(1, hits + a + m) for image, (hits, a, m) in counts.items()}
    names = page.locator("#cards .name")
    shown = names.all_text_contents()
    assert shown[-1] == EMPTY  # nothing there, nothing found
    assert [ious[image] for image in shown[:-1]] == sorted(ious[image] for image in shown[:-1])
    page.get_by_label("Order").select_option("best")
    expect(names.first).to_have_text(EMPTY)
    page.get_by_label("Order").select_option("name")
    expect(names).to_have_text(sorted(counts))
    page.get_by_label("Order").select_option("worst")
    for label, place, only in (
        ("only false positives", 1, FALSE_POSITIVE),
        ("only false negatives", 2, FALSE_NEGATIVE),
    ):
        page.get_by_label(label).check()
        wrong = {image: each[place] for image, each in counts.items() if each[place]}
        expect(names).to_have_text(sorted(wrong, key=lambda image: -wrong[image]))
        colours = pixels(page, "colours")
        assert (colours[..., 3] > 0).sum() == counts[WIDE][place]
        assert np.abs(colours[colours[..., 3] > 0].astype(int) - only).max(initial=0) <= 1
    page.get_by_label("everything").check()
    page.screenshot(path=pictures / "ranked.png")
    page.get_by_label("Split").select_option("calibration")
    expect(names).to_have_text([SPARE])
    page.get_by_label("Split").select_option("test")
    expect(names).to_have_count(3)
    mean = np.mean([ious[image] for image in (WIDE, HOSTILE)])
    expect(page.locator("#mean")).to_contain_text(f"Mean IoU {mean:.3f} over the 2 images")


def test_classes_prompts_and_scorings_can_be_chosen(
    page: Page, server: Server, workspace: Site, pictures: Path
) -> None:
    page.get_by_role("combobox", name="Class").select_option("table")
    expect(prompts_of(page)).to_have_value("a table\na desk")
    expect(page.locator("#ranked")).to_have_text("4 images")
    true = np.isin(labels(workspace, WIDE), [2, 3])

    def expect_iou(score: np.ndarray, threshold: float) -> None:
        found = union(workspace, WIDE, score, threshold)
        iou = (found & true).sum() / (found | true).sum()
        expect(page.locator("#figure")).to_have_text(f"IoU {iou:.3f}")

    expect_iou(score_of(server, WIDE, 1), THRESHOLD)
    changed = {**CLASSES, "table": ["a wooden table, 'old'"]}
    prompts_of(page).fill("a wooden table, 'old'")
    prompts_of(page).press("Enter")
    set_threshold(page, 0.3)
    expect_iou(score_of(server, WIDE, 1, classes=changed), 0.3)
    page.get_by_label("Scoring").select_option("softmax")
    page.get_by_label("Negative prompts").fill("a thing\na wall")
    page.get_by_label("Temperature").fill("0.1")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("button", name="Try")).to_be_enabled()
    softmax = {"scoring": "softmax", "negative_prompts": ["a thing", "a wall"], "temperature": 0.1}
    set_threshold(page, 0.35)
    expect_iou(score_of(server, WIDE, 1, classes=changed, **softmax), 0.35)
    page.screenshot(path=pictures / "scoring.png")

    page.get_by_role("button", name="Copy as experiment").click()
    line = page.locator("#line")
    expect(line).to_contain_text("dvc exp run -S threshold=0.35 -S 'classes.table=[")
    expect(line).to_contain_text("""-S 'scores.scoring="softmax"'""")
    for _ in range(100):  # it is written a moment after the line is shown
        copied = page.evaluate("navigator.clipboard.readText()")
        if copied:
            break
        page.wait_for_timeout(100)
    assert copied == line.text_content()

    page.get_by_role("button", name=re.compile("As in params")).click()
    expect(prompts_of(page)).to_have_value("a table\na desk")
    expect_iou(score_of(server, WIDE, 1), THRESHOLD)


def test_any_text_can_be_looked_for(page: Page, server: Server, workspace: Site) -> None:
    page.get_by_role("combobox", name="Class").select_option("")
    prompts_of(page).fill("a chair")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tp-name")).to_have_text("predicted")
    found = union(workspace, WIDE, score_of(server, WIDE), THRESHOLD)
    assert number(page.locator("#tp-count").text_content()) == found.sum()
    expect(page.locator("#truth")).to_be_hidden()
    page.get_by_role("button", name="Copy as experiment").click()
    expect(page.get_by_role("alert")).to_contain_text("add a class under `classes`")


def test_search_by_text_and_by_example(
    page: Page, inside: Site, pictures: Path, server: Server
) -> None:
    page.get_by_role("button", name="Search all masks").click()
    page.get_by_label("Find masks of").fill("a desk")
    page.get_by_label("Find masks of").press("Enter")
    results = page.locator("#results li")
    expect(results).to_have_count(48)
    assert VIEWS == ("crop", "masked")
    (text,) = texts.embeddings("tiny", ["a desk"])
    wanted = server.post(
        "/api/search", {"text": "a desk", "image": None, "mask": None, "count": 48}
    )[1]
    assert [result["similarity"] for result in wanted] == sorted(
        (result["similarity"] for result in wanted), reverse=True
    )
    assert len(text) == 128
    shown = [row.locator("b").text_content() for row in results.all()]
    assert shown == [f"{result['similarity']:.3f}" for result in wanted]
    expect(results.first.locator("img")).to_have_js_property("complete", value=True)
    assert results.first.locator("img").evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=pictures / "search.png")

    results.first.get_by_role("button").click()
    expect(page.locator("#search-status")).to_contain_text(f"the mask {wanted[0]['mask_id']}")
    expect(results.first.locator("b")).to_have_text("1.000")
    results.first.get_by_role("link").click()
    expect(page.locator("#image-title")).to_have_text(wanted[0]["image"])
    expect(page.locator("#facts")).to_contain_text(wanted[0]["mask_id"])
    page.get_by_role("button", name="Find similar masks").click()
    expect(page.locator("#search-status")).to_contain_text(f"the mask {wanted[0]['mask_id']}")
    expect(results).to_have_count(48)


def test_names_and_prompts_are_text_and_nothing_else(
    page: Page, server: Server, pictures: Path
) -> None:
    visit(page, server, HOSTILE)
    page.get_by_role("combobox", name="Class").select_option("<b>lamp</b>")
    expect(prompts_of(page)).to_have_value(CLASSES["<b>lamp</b>"][0])
    page.locator("#mask-list button").first.click()
    expect(page.locator("#prompt-scores")).to_contain_text('"><script>a lamp')
    page.get_by_role("combobox", name="Class").select_option("chair")
    for prompt in ("<img src=x onerror=alert(1)>", "</textarea><script>alert(2)</script>"):
        prompts_of(page).fill(prompt)
        page.get_by_role("button", name="Try").click()
        expect(page.locator("#prompt-scores")).to_contain_text(prompt)
    page.get_by_role("button", name="Find similar masks").click()
    expect(page.locator("#results .name").first).to_have_text(HOSTILE)
    expect(page).to_have_title("Explorer")
    assert page.locator("script").count() == 1
    assert page.locator("img[src=x], b b, #prompt-scores script").count() == 0
    page.screenshot(path=pictures / "hostile.png")


def test_neighbours_by_button_and_key(page: Page) -> None:
    names = page.locator("#cards .name").all_text_contents()
    place = names.index(WIDE)
    page.get_by_label("Order").select_option("worst")
    title = page.locator("#image-title")
    page.locator("#outline").focus()
    page.keyboard.press("]" if place + 1 < len(names) else "[")
    expect(title).to_have_text(names[place + 1 if place + 1 < len(names) else place - 1])
    page.get_by_role("button", name="Previous image" if place + 1 < len(names) else "Next").click()
    expect(title).to_have_text(WIDE)
    page.locator("#cards a").last.click()
    expect(title).to_have_text(names[-1])
    expect(page.locator("#cards a[aria-current]")).to_have_count(1)
    page.go_back()
    expect(title).to_have_text(WIDE)


def test_an_image_without_masks_can_be_opened(page: Page, server: Server) -> None:
    visit(page, server, EMPTY)
    expect(page.locator("#figure")).to_have_text("no chair here")
    expect(page.locator("#mask-list button")).to_have_count(0)


def test_what_the_server_refuses_is_said(page: Page) -> None:
    prompts_of(page).fill("chair " * 83)
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("alert")).to_contain_text("longer than the 77 tokens")
    prompts_of(page).fill("a chair")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_every_control_has_a_name_and_can_be_reached(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, textarea, a, img, canvas')]
          .filter(e => !e.closest('[aria-hidden=true]') && !e.closest('a img') &&
            !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim() ||
              e.hasAttribute('alt')))
          .map(e => e.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    page.locator("body").focus()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"tab-images", "tab-search", "order", "split", "outline", "class", "prompts"} <= reached


def test_it_can_be_read_in_light_and_dark_and_narrow(page: Page, pictures: Path) -> None:
    page.locator("#mask-list button").first.click()
    for width, scheme in itertools.product((1440, 1000, 390), ("light", "dark")):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for selector in ("#summary", "h2", "#copy", "#apply", "#tab-images", "#figure", "label"):
            assert contrast(page, selector) >= 4.5, selector
        page.screenshot(path=pictures / f"{scheme}-{width}.png", full_page=True)


def contrast(page: Page, selector: str) -> float:
    """Between an element's text and what is behind it, by WCAG's formula."""
    colours = page.evaluate(
        """selector => {
          let e = document.querySelector(selector);
          const ink = getComputedStyle(e).color;
          while (getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;
          return [ink, getComputedStyle(e).backgroundColor];
        }""",
        selector,
    )
    rgb = np.array([re.findall(r"\d+", colour)[:3] for colour in colours], float) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return float((high + 0.05) / (low + 0.05))


class Held:
    """Requests to an address, held back until they are let go."""

    def __init__(self, page: Page, address: str) -> None:
        self._page, self._holding = page, True
        self.routes: list[Route] = []
        page.route(address, self._take)

    def _take(self, route: Route) -> None:
        if self._holding:
            self.routes.append(route)
        else:
            route.continue_()

    def wait(self, count: int) -> None:
        """Until so many have come."""
        while len(self.routes) < count:
            self._page.wait_for_timeout(20)

    def end(self) -> None:
        """Hold back no more."""
        self._holding = False


def test_scores_that_come_late_are_not_laid_over_another_image(
    page: Page, server: Server, workspace: Site
) -> None:
    held = Held(page, "**/api/scores")
    prompts_of(page).fill("a desk")
    page.get_by_role("button", name="Try").click()
    held.wait(1)
    page.evaluate("hash => { location.hash = hash; }", link(page, HOSTILE)[1:])
    held.wait(2)
    held.end()
    for route in reversed(held.routes):
        route.continue_()
    expect(page.locator("#image-title")).to_have_text(HOSTILE)
    # The image has the new prompts' scores, as has the field.
    expect(prompts_of(page)).to_have_value("a desk")
    score = score_of(server, HOSTILE, classes={**CLASSES, "chair": ["a desk"]})
    found, true = union(workspace, HOSTILE, score, THRESHOLD), labels(workspace, HOSTILE) == 1
    iou = (found & true).sum() / (found | true).sum()
    expect(page.locator("#figure")).to_have_text(f"IoU {iou:.3f}")
    expect(page.get_by_role("button", name="Try")).to_be_enabled()


def test_of_two_prompts_the_later_holds_whichever_answer_comes_first(
    page: Page, server: Server, workspace: Site
) -> None:
    held = Held(page, "**/api/scores")
    for count, prompt in enumerate(("a table", "a desk"), start=1):
        prompts_of(page).fill(prompt)
        prompts_of(page).press("Enter")
        held.wait(count)
    held.end()
    held.routes[1].continue_()
    score = score_of(server, WIDE, classes={**CLASSES, "chair": ["a desk"]})
    wanted = union(workspace, WIDE, score, THRESHOLD)
    expect_overlay(page, workspace, wanted)
    with page.expect_response("**/api/scores"):
        held.routes[0].continue_()
    page.wait_for_timeout(200)
    expect_overlay(page, workspace, wanted)
    page.get_by_role("button", name="Copy as experiment").click()
    expect(page.locator("#line")).to_contain_text('classes.chair=["a desk"]')


def test_a_text_that_is_not_written_yet_finds_nothing(page: Page, server: Server) -> None:
    page.get_by_role("combobox", name="Class").select_option("")
    expect(page.locator("#figure")).to_have_text("0 px")
    expect(page.locator("#ranked")).to_have_text("4 images")
    page.keyboard.press("Escape")
    page.locator("#cards a").last.click()
    expect(page.locator("#image-title")).not_to_have_text(WIDE)
    expect(page.locator("#figure")).to_have_text("0 px")
    expect(page.get_by_role("combobox", name="Class")).to_have_value("")
    page.reload()
    expect(page.locator("#figure")).to_have_text("0 px")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_copied_line_is_about_the_class_though_a_text_was_tried(page: Page) -> None:
    page.get_by_role("combobox", name="Class").select_option("")
    prompts_of(page).fill("a chair")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tp-name")).to_have_text("predicted")
    page.get_by_role("combobox", name="Class").select_option("chair")
    page.get_by_role("button", name="Copy as experiment").click()
    expect(page.locator("#line")).to_have_text(f"dvc exp run -S threshold={THRESHOLD}")


def test_an_image_that_cannot_be_measured_is_told_and_keeps_no_other_from_it(
    page: Page, server: Server
) -> None:
    def refuse(route: Route) -> None:
        if SPARE in route.request.post_data_json["images"]:
            route.fulfill(status=400, json={"error": "its label map is torn"})
        else:
            route.continue_()

    page.route("**/api/curves", refuse)
    page.get_by_role("combobox", name="Class").select_option("table")
    problem = page.get_by_role("alert")
    expect(problem).to_have_text("1 of 4 images cannot be measured: its label map is torn")
    expect(page.locator("#ranked")).to_have_text("4 images")
    expect(page.locator("#cards .figure", has_text="IoU")).to_have_count(2)
    page.locator("#cards a").last.click()
    expect(problem).to_be_visible()
    page.unroute("**/api/curves")
    page.get_by_role("combobox", name="Class").select_option("chair")
    expect(problem).to_be_hidden()


def test_a_start_that_fails_says_why(page: Page, server: Server) -> None:
    page.route("**/api/workspace", lambda route: route.fulfill(status=400, json={"error": "No."}))
    page.goto("about:blank")
    with page.expect_event("pageerror"):
        page.goto(server.url)
    expect(page.get_by_role("alert")).to_have_text("No.")


def test_a_link_to_where_one_is_leads_back_from_the_search(page: Page) -> None:
    page.get_by_role("button", name="Search all masks").click()
    page.get_by_label("Find masks of").fill("a desk")
    page.get_by_label("Find masks of").press("Enter")
    first = page.locator("#results li a").first
    for _ in range(2):
        first.click()
        expect(page.locator("#images-view")).to_be_visible()
        page.get_by_role("button", name="Search all masks").click()


def test_the_colours_lie_over_a_grey_picture(page: Page, workspace: Site) -> None:
    """As they are painted on the screen, and not only on their canvas."""

    def coloured() -> float:
        shot = Image.open(io.BytesIO(page.locator("#overlay").screenshot()))
        pixels = np.asarray(shot.convert("RGB")).astype(int)
        return float((np.ptp(pixels, axis=-1) > 24).mean())

    painted = float((pixels(page, "colours")[..., 3] > 0).mean())
    assert painted > 0.01
    assert coloured() == pytest.approx(painted, rel=0.2)
    page.evaluate("document.getElementById('colours').hidden = true")
    assert coloured() < 0.01
