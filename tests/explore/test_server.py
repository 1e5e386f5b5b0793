"""What the server gives out, and what it does not."""

import http.client
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import curves
from maskquery.explore import command
from maskquery.explore.server import overview
from maskquery.explore.settings import Files, Params
from maskquery.explore.workspace import Workspace
from maskquery.masks import mask_store
from maskquery.masks.packed import pack
from maskquery.selection.thresholds import Threshold
from maskquery.tables import embedding_table, parquet, score_table
from stages import scores as stage
from tests.explore import site
from tests.explore.conftest import Site, labels
from tests.explore.site import EMPTY, HOSTILE, SPARE, THRESHOLD, WIDE, Server


@pytest.fixture(scope="module")
def start(server: Server) -> dict[str, Any]:
    status, body = server.get("/api/workspace")
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def raw(server: Server, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """A request whose path no client has tidied up."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("GET", target, skip_host="Host" in headers)
    for key, value in headers.items():
        connection.putheader(key, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_start_says_what_params_say(start: dict[str, Any]) -> None:
    assert [image["id"] for image in start["images"]] == sorted([WIDE, HOSTILE, SPARE, EMPTY])
    assert {image["id"] for image in start["images"] if not image["test"]} == {SPARE}
    assert start["settings"]["classes"] == site.CLASSES
    assert start["thresholds"] == dict.fromkeys(site.CLASSES, THRESHOLD)
    assert (start["rule"], start["measured"]) == (None, ["chair", "table"])


def test_scores_are_those_of_scores_parquet(
    inside: Site, server: Server, start: dict[str, Any], tmp_path: Path
) -> None:
    settings = params.load(stage.Params)
    stage.run(Path("data/embeddings.parquet"), tmp_path / "scores.parquet", settings)
    table = score_table.read(tmp_path / "scores.parquet")
    for image in (WIDE, HOSTILE, SPARE):
        asked = {"image": image, "settings": start["settings"]}
        _, answer = server.post("/api/scores", asked)
        own, found = table.images[image], inside.masks[image]
        rows = score_table.locate(found.ids, own.ids)
        assert np.array_equal(np.array(answer["scores"], np.float32), own.similarity[rows])


def test_curves_are_those_of_the_masks_and_the_ground_truth(
    workspace: Site, server: Server, start: dict[str, Any]
) -> None:
    images = [WIDE, HOSTILE, SPARE, EMPTY]
    asked = {"images": images, "column": 1, "settings": start["settings"]}
    _, found = server.post("/api/curves", asked)
    for image, curve in zip(images, found, strict=True):
        _, scored = server.post("/api/scores", {"image": image, "settings": start["settings"]})
        score = np.array([row[1] for row in scored["scores"]], np.float32)
        true = pack(np.isin(labels(workspace, image), [2, 3]))
        wanted = curves.image_curve(workspace.masks[image].masks, score, true)
        assert curve == {
            "image": image,
            "scores": wanted.scores.tolist(),
            "tp": wanted.tp.tolist(),
            "predicted": wanted.predicted.tolist(),
            "true": wanted.true,
        }


@pytest.mark.parametrize("image", [WIDE, HOSTILE, EMPTY])
def test_pictures_are_of_the_image(server: Server, workspace: Site, image: str) -> None:
    with Image.open(workspace.folder / f"data/images/{image}.png") as opened:
        full = opened.size
    for kind in ("picture", "thumbnail"):
        status, body = server.get(f"/api/{kind}?image={quote(image)}")
        assert status == 200
        size = Image.open(io.BytesIO(body)).size
        assert size == full if kind == "picture" else max(size) == min(240, max(full))


def test_a_crop_shows_the_mask(server: Server, workspace: Site) -> None:
    masks = workspace.masks[HOSTILE]
    status, body = server.get(f"/api/crop?image={quote(HOSTILE)}&mask={masks.ids[0]}")
    assert status == 200
    x0, y0, x1, y1 = masks.boxes[0].tolist()
    width, height = Image.open(io.BytesIO(body)).size
    assert x1 - x0 <= width <= x1 - x0 + 20
    assert y1 - y0 <= height <= y1 - y0 + 20


@pytest.mark.parametrize(
    "path",
    [
        "/../params.yaml",
        "/static/../command.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..\\server.py",
        "/params.yaml",
        "/data/images/a/wide.png",
        "/api/picture?image=../../params.yaml",
        "/api/picture?image=/etc/passwd",
        "/api/picture?image=a/../a/wide",
        "/api/picture?image=a%2fwide%00",
        "/api/picture",
        "/api/thumbnail?image=../truth/a/wide",
        "/api/crop?image=a/wide&mask=../../1",
        "/api/crop?image=a/wide&mask=99999999999999999999999",
        "/api/crop?image=a/wide&mask=\u00b2",
        "/api/image?image=nothing",
    ],
)
def test_nothing_but_known_images_is_served(server: Server, path: str) -> None:
    status, body = raw(server, quote(path, safe="/%?=&"), {})
    assert status in (400, 404)
    assert set(json.loads(body)) == {"error"}
    assert not any(word in body for word in (b"root:", b"import", b"threshold:"))


def test_another_sites_name_or_form_is_refused(server: Server) -> None:
    assert raw(server, "/api/workspace", {"Host": "evil.example"})[0] == 400
    assert raw(server, "/api/workspace", {"Host": "localhost:1"})[0] == 200
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    body = json.dumps({"text": "a chair", "image": None, "mask": None, "count": 1})
    connection.request("POST", "/api/search", body, {"content-type": "text/plain"})
    assert connection.getresponse().status == 415
    connection.close()


def test_every_answer_forbids_what_the_page_does_not_need(server: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    for path in ("/", "/static/app.js", "/api/workspace", "/nothing"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    connection.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/search", {"text": None, "image": None, "mask": None, "count": 5}),
        ("/api/search", {"text": "a", "image": None, "mask": None, "count": 10**6}),
        ("/api/search", {"text": None, "image": WIDE, "mask": "1", "count": 5}),
        ("/api/search", {"text": "a " * 200, "image": None, "mask": None, "count": 5}),
        ("/api/search", {"count": 5}),
        ("/api/search", ["a"]),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(server: Server, path: str, body: Any) -> None:
    status, answer = server.post(path, body)
    assert status == 400
    assert answer["error"]
    assert "Traceback" not in answer["error"]


def test_it_listens_on_this_machine_only(server: Server) -> None:
    port = f"{urlsplit(server.url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port}")]
    assert listening == [f"0100007F:{port}"]


def test_torch_is_loaded_at_the_first_new_text(workspace: Site, start: dict[str, Any]) -> None:
    with site.serving(workspace.folder, workspace.cache) as fresh:
        images, settings = [WIDE, HOSTILE], start["settings"]
        assert fresh.get("/")[0] == fresh.get(f"/api/image?image={WIDE}")[0] == 200
        fresh.post("/api/scores", {"image": WIDE, "settings": settings})
        fresh.post("/api/curves", {"images": images, "column": 0, "settings": settings})
        known = {"text": "a chair", "image": None, "mask": None, "count": 3}
        assert fresh.post("/api/search", known)[0] == 200
        assert not fresh.has_torch
        assert fresh.post("/api/search", {**known, "text": "a chair never named before"})[0] == 200
        assert fresh.has_torch


def test_the_line_looks_at_params_as_they_are_now(server: Server, start: dict[str, Any]) -> None:
    status, answer = server.post(
        "/api/experiment", {"settings": start["settings"], "threshold": 0.25}
    )
    assert (status, answer) == (200, {"line": "dvc exp run -S threshold=0.25"})


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("otsu", {}),
        ("calibrated", {"chair": 0.2, "table": 0.3}),
        ("common", dict.fromkeys(site.CLASSES, 0.25)),
    ],
)
def test_a_threshold_that_is_a_rule_is_followed_where_it_is_one_number(
    inside: Site, tmp_path: Path, rule: str, wanted: dict[str, float]
) -> None:
    path, known = tmp_path / "params.yaml", tmp_path / "thresholds.json"
    path.write_text(Path("params.yaml").read_text().replace("threshold: 0.5", f"threshold: {rule}"))
    calibrated = {"chair": 0.2, "table": 0.3, "<b>lamp</b>": None}
    known.write_text(json.dumps({"common": 0.25, "classes": calibrated}))
    with Workspace(Files(thresholds=known), params.load(Params, path)) as workspace:
        found = overview(workspace)
    assert (found["thresholds"], found["rule"]) == (wanted, rule)


def test_masks_of_an_image_that_is_gone_are_refused(inside: Site, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/other.png").write_bytes(
        (inside.folder / f"data/images/{EMPTY}.png").read_bytes()
    )
    settings = params.load(Params).model_copy(update={"images": tmp_path / "images"})
    with pytest.raises(UserError, match="has no image"):
        Workspace(Files(), settings)


def test_embeddings_of_other_weights_are_refused(inside: Site, tmp_path: Path) -> None:
    other = {"clip": {"model": "tiny", "sha256": "0" * 64, "views": site.VIEWS}}
    embedding_table.write(tmp_path / "other.parquet", [], 128, other)
    with pytest.raises(UserError, match="other weights of CLIP"):
        Workspace(Files(embeddings=tmp_path / "other.parquet"), params.load(Params))


def test_that_files_have_changed_is_said(inside: Site, tmp_path: Path) -> None:
    known = tmp_path / "thresholds.json"
    known.write_text('{"common": 0.25, "classes": {}}')
    settings = params.load(Params).model_copy(update={"threshold": Threshold("common")})
    with Workspace(Files(thresholds=known), settings) as workspace:
        assert overview(workspace)["note"] is None
        known.write_text('{"common": 0.5, "classes": {}} ')
        found = overview(workspace)
    assert found["note"].endswith("have changed: start the explorer anew")
    assert set(found["thresholds"].values()) == {0.25}


def test_without_a_single_mask_there_is_nothing_to_find(inside: Site, tmp_path: Path) -> None:
    files = Files(masks=tmp_path / "masks.zarr", embeddings=tmp_path / "embeddings.parquet")
    clip = parquet.read_metadata(Path("data/embeddings.parquet"))
    embedding_table.write(files.embeddings, [], 128, clip)
    mask_store.MaskStore.write(files.masks, [inside.masks[EMPTY]])
    with Workspace(files, params.load(Params)) as workspace:
        assert workspace.score(EMPTY, workspace.start).score.shape == (0, 3)
        assert len(workspace.spread(workspace.start)) == 3
        assert workspace.curve(EMPTY, 0, workspace.start).true == 0
        assert workspace.like_text("a chair", 5) == []


def test_classes_may_have_many_prompts(inside: Site) -> None:
    many = ("a chair",) * 60
    settings = params.load(Params).model_copy(update={"classes": {"chair": many}})
    with Workspace(Files(), settings) as workspace:
        assert overview(workspace)["settings"]["classes"] == {"chair": list(many)}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--port", "99999"], "99999 is not from 0 to 65535"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8765 cannot be listened on"),
        (["--host", "0.0.0.0"], "names no machine"),
        (["--host", "::"], "names no machine"),
    ],
)
def test_an_address_that_cannot_be_is_refused(inside: Site, arguments: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        command.main(arguments)
