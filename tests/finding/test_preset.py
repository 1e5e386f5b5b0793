"""Presets of `find`: which one is taken, what it brings, and that its files are downloaded once."""

import functools
import json
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from maskquery.clip.openai import CLIP, tokenize
from maskquery.core.errors import UsageError
from maskquery.core.files import file_hash
from maskquery.finding import ask, command, preset
from maskquery.finding.settings import PACKAGE, Given
from maskquery.models import checkpoints
from maskquery.sam.mobile import CLASSIFIER, build_mobile_sam
from tests.support.builders import ROOT

LERF = ("an object", "things", "stuff", "a texture")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a params.yaml, with a cache and a folder for downloads of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MASKQUERY_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def question(values: Mapping[str, Any], chosen: str | None = None) -> Any:
    return ask(Path("a.jpg"), "a dog", [Given(k, v, k) for k, v in values.items()], chosen)


def test_outside_a_project_it_is_photo() -> None:
    asked = question({})
    assert (asked.params.sam.model, asked.params.clip.model) == ("mobile", "ViT-B/32")
    assert asked.params.sam.pred_iou_thresh == 0.88
    assert asked.document["threshold"] == 0.5
    assert asked.negatives == {"a dog": LERF}  # and no furniture


def test_tiny_models_are_the_demos() -> None:
    asked = question({"sam.model": "tiny", "clip.model": "tiny"})
    assert asked.params.sam == question({}, "demo").params.sam
    assert asked.document["threshold"] == json.loads(PACKAGE.thresholds.read_text())["common"]
    assert "a chair" in asked.negatives["a dog"]


def test_published_models_bring_their_settings() -> None:
    """`--sam vit_h --clip ViT-B/32` is not the tiny models' thresholds."""
    asked = question({"sam.model": "vit_h", "clip.model": "ViT-B/32"})
    assert asked.params.sam.model == "vit_h"
    assert asked.params.sam.stability_score_thresh == 0.95
    assert asked.negatives == {"a dog": LERF}


def test_published_models_bring_their_settings_into_a_project(
    tmp_path: Path,
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    before = question({"threshold": 0.3})
    assert before.params.sam.model == "tiny"
    assert before.remark == ""
    asked = question({"clip.model": "ViT-L/14"})
    assert asked.params.clip.model == "ViT-L/14"
    assert asked.params.scores.scoring == "relevancy"
    assert asked.document["threshold"] == 0.5
    assert asked.params.sam == before.params.sam
    assert "clip.model ViT-L/14 brings the settings of the preset photo" in asked.remark
    assert question({"sam.model": "vit_b", "threshold": 0.3}).params.sam.pred_iou_thresh == 0.88


def test_what_is_given_comes_last() -> None:
    values = {"sam.points_per_side": 8, "scores.temperature": 1.0, "threshold": 0.2}
    asked = question(values, "full_size")
    assert (asked.params.sam.model, asked.params.sam.points_per_side) == ("vit_h", 8)
    assert asked.params.scores.temperature == 1.0
    assert asked.document["threshold"] == 0.2


def test_first_threshold_of_full_size() -> None:
    assert question({}, "full_size").document["threshold"] == preset.FIRST_THRESHOLD


def test_report_has_no_threshold_of_its_own() -> None:
    with pytest.raises(UsageError, match="no preset 'poster'"):
        question({}, "poster")
    with pytest.raises(Exception, match=r"give a number \(--threshold\)"):
        question({}, "report")
    assert question({"threshold": 0.1}, "report").params.scores.scoring == "cosine"


def test_first_threshold_is_where_the_prompt_is_nearest() -> None:
    """Above 0.5 a mask is more similar to the prompt than to each phrase, and only there."""
    from maskquery.scoring import similarity

    rng = np.random.default_rng(0)
    prompt = rng.uniform(0.1, 0.4, (500, 1)).astype(np.float32)
    others = rng.uniform(0.1, 0.3, (500, 4)).astype(np.float32)
    temperature = preset.read("photo")["scores"]["temperature"]
    score = similarity.relevancy(prompt, others, temperature)
    nearest = prompt[:, 0] > others.max(axis=1)
    np.testing.assert_array_equal(score[:, 0] > preset.read("photo")["threshold"], nearest)
    assert 50 < nearest.sum() < 450


class Quiet(SimpleHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of both files of `photo`: the true formats and architectures, random weights."""
    from clip.model import convert_weights

    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(0)
    classifier = {
        name: torch.zeros(shape)
        for name, shape in zip(CLASSIFIER, [(320,), (320,), (1000, 320), (1000,)], strict=True)
    }
    torch.save(build_mobile_sam().state_dict() | classifier, folder / "mobile_sam.pt")
    clip = CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).eval()
    convert_weights(clip)
    for name, value in {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}.items():
        if hasattr(clip, name):
            delattr(clip, name)
        clip.register_buffer(name, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(1, 3, 224, 224).half(), tokenize("a dog"))
        torch.jit.trace(clip, example, check_trace=False).save(str(folder / "ViT-B-32.pt"))
    Quiet.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    entries = []
    for kind, model in (("sam", "mobile"), ("clip", "ViT-B/32")):
        entry = checkpoints.find(kind, model)  # type: ignore[arg-type]
        path = folder / entry.file
        # As large as the published file, but for the parts that a format's version adds.
        assert abs(path.stat().st_size - (entry.size or (entry.about or 0) * 1e6)) < 1e6
        entries.append(
            replace(
                entry, url=f"{address}/{path.name}", sha256=file_hash(path),
                size=path.stat().st_size,
            )
        )  # fmt: skip
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (*checkpoints.CHECKPOINTS[:1], *entries))
    yield address
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_a_photo(published: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are named with their sizes and downloaded once; then no network is needed."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    few = ["--points-per-side", "2", "--set", "sam.pred_iou_thresh=0.0"]
    few += ["--set", "sam.stability_score_thresh=0.0"]  # or random weights let no mask pass
    line = command.main(["photo.jpg", "a dog", *few])
    told = capsys.readouterr().err
    assert "find: preset photo" in told
    assert "downloads mobile_sam.pt (41 MB) and ViT-B-32.pt (354 MB)" in told
    assert str(tmp_path / "models") in told
    assert "of 'a dog' in" in line
    assert sorted(Quiet.requests) == ["/ViT-B-32.pt", "/mobile_sam.pt"]
    params = yaml.safe_load((tmp_path / "found/params.yaml").read_text())
    assert params["sam"]["model"] == "mobile"
    command.main(["photo.jpg", "a cat", "--out", "cats", *few])
    assert "downloads" not in capsys.readouterr().err
    assert len(Quiet.requests) == 2


def test_package_names_the_presets() -> None:
    from maskquery import presets

    assert set(preset.NAMES) == {"demo", *presets.names()}
    assert preset.read("demo")["sam"] == yaml.safe_load(PACKAGE.params.read_text())["sam"]


def test_tiny_models_say_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, of a photo; of a room of the demo nothing is said."""
    tiny = ["--preset", "demo", "--points-per-side", "2", "--threshold", "0.3"]
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photo.jpg")
    command.main(["photo.jpg", "a dog", *tiny])
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "means nothing" in line] == [
        "sam.model tiny was trained on the demo's rooms: for 1 images that are none of them the "
        "result means nothing (docs/models.md has models for photos)"
    ]
    (tmp_path / "room.jpg").write_bytes((ROOT / "data/rooms/images/room-000.jpg").read_bytes())
    command.main(["room.jpg", "a chair", "--out", "room", *tiny])
    assert capsys.readouterr().err == ""
