"""Names that look like something else go through the page and its API as they are."""

import json
import shutil
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from maskquery.core import yaml_text
from maskquery.masks import mask_store
from maskquery.models import checkpoints
from maskquery.tables import embedding_table
from tests.explore import site
from tests.explore.conftest import Site
from tests.explore.site import Server

NAMES = [
    "threshold",
    "images",
    "all classes",
    "t.v.",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "2",
    "10",
    "1e3",
    "null",
    "<b>bold</b><script>alert(1)</script>",
    "&amp;",
    "כיסא \u202eabc",
    "x" * 300,
    unicodedata.normalize("NFC", "Stühle"),
    unicodedata.normalize("NFD", "Stühle"),
    "two\nlines",
    "tab\tand\x1b[31m",
    "a\u2028b",
    "#?&=%00",
    "椅子 🪑",
]
IMAGES = ["__proto__", "t.v.", "%2e%2e", "two\nlines", "כיסא", "<i>", "x" * 200]
IMAGES += [unicodedata.normalize(form, "Stühle") for form in ("NFC", "NFD")]


@pytest.fixture(scope="module")
def named(workspace: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a workspace whose classes have such names; the images, too."""
    folder = tmp_path_factory.mktemp("named")
    source = workspace.masks[site.SPARE]
    for image in IMAGES:
        path = folder / f"data/images/{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace.folder / f"data/images/{site.SPARE}.png", path)
    group = [source.__class__(**{**vars(source), "image": image}) for image in IMAGES]
    by_image = {masks.image: masks for masks in group}
    order = mask_store.shard_order(by_image)
    mask_store.MaskStore.write(folder / "data/masks.zarr", [by_image[image] for image in order])
    rng = site.np.random.default_rng(0)
    rows = [
        embedding_table.rows_of(masks, site.VIEWS, site._embeddings(masks, rng))
        for _, masks in sorted(by_image.items())
    ]
    clip = {
        "model": "tiny",
        "sha256": checkpoints.find("clip", "tiny").sha256,
        "views": site.VIEWS,
    }
    embedding_table.write(folder / "data/embeddings.parquet", rows, 128, {"clip": clip})
    document = site.params()
    document["classes"] = {name: ["a chair", name[:60]] for name in NAMES}
    document["ground_truth"]["labels"] = {NAMES[0]: [1]}
    document["calibration"] = []
    (folder / "params.yaml").write_text(yaml_text.dump(document))
    with site.serving(folder, workspace.cache) as running:
        yield running


def test_the_api_takes_and_gives_names_as_they_are(named: Server) -> None:
    status, body = named.get("/api/workspace")
    assert status == 200
    start = json.loads(body)
    assert list(start["settings"]["classes"]) == NAMES
    assert [image["id"] for image in start["images"]] == sorted(IMAGES)
    for image in IMAGES:
        assert named.get(f"/api/image?image={quote(image, safe='')}")[0] == 200
        picture = named.get(f"/api/thumbnail?image={quote(image, safe='')}")[1]
        assert picture.startswith(b"\xff\xd8")
        asked = {"image": image, "settings": start["settings"]}
        status, scored = named.post("/api/scores", asked)
        assert status == 200
        assert {len(row) for row in scored["scores"]} == {len(NAMES)}
    asked = {"settings": start["settings"], "threshold": 0.25}
    assert named.post("/api/experiment", asked)[1] == {"line": "dvc exp run -S threshold=0.25"}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_line_for_a_shell_names_the_class_or_refuses(named: Server, name: str) -> None:
    settings = json.loads(named.get("/api/workspace")[1])["settings"]
    settings["classes"][name] = ["another"]
    status, answer = named.post("/api/experiment", {"settings": settings, "threshold": 0.25})
    if status == 200:
        assert f'classes.{name}=["another"]' in answer["line"]
    else:
        assert status == 400
        assert len(answer["error"].splitlines()) == 1


@pytest.mark.slow
def test_the_page_shows_names_as_they_are(named: Server, browser: Browser) -> None:
    page, complaints = browser.new_page(viewport={"width": 1400, "height": 950}), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.set_default_timeout(120_000)
    page.goto(named.url)
    expect(page.locator("#ranked")).to_have_text(f"{len(IMAGES)} images")
    choice = page.locator("#class")
    values: list[Any] = choice.evaluate("select => [...select.options].map(o => o.value)")
    assert sorted(values) == sorted([*NAMES, ""])  # a number comes first, as JavaScript has it
    columns: dict[str, str] = {}
    for name in NAMES:
        choice.evaluate(
            "(select, name) => { select.value = name; select.dispatchEvent(new Event('change')); }",
            name,
        )
        expect(page.locator("#prompts")).to_have_value(f"a chair\n{name[:60]}")
        expect(page.locator("#number")).to_have_value(str(site.THRESHOLD))
        expect(page.locator("#ranked")).to_have_text(f"{len(IMAGES)} images")
        columns[name] = page.locator("#mask-list").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(set(columns.values())) > 1
    titles = page.locator("#cards .name").evaluate_all("all => all.map(e => e.textContent)")
    assert sorted(titles) == sorted(IMAGES)
    for link in page.locator("#cards a").all():
        link.click()
        expect(link).to_have_attribute("aria-current", "true")
    assert page.locator("#cards i:not(.share i), #class b, script").count() == 1
    assert page.title() == "Explorer"
    page.close()
    assert complaints == []
