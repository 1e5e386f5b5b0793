"""The report's method, from its preset, against the same written anew from the masks' crops."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from maskquery import presets
from maskquery.clip import encoder, loading
from maskquery.clip.openai import CLIP
from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.images import image_files
from maskquery.masks.mask_store import MaskStore, PredictionStore
from maskquery.masks.packed import unpack
from maskquery.presets.command import main
from stages import calibration, embeddings, masks, predictions, scores
from tests.support.builders import ROOT

STAGES = (masks, embeddings, scores, calibration, predictions)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml alone, which is the current one."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_preset_is_taken_by_every_stage(folder: Path) -> None:
    assert presets.names() == ["full_size", "photo", "report"]
    for name in presets.names():
        main([name])
        for stage in STAGES:
            params.load(stage.Params)


def test_other_keys_and_comments_stay(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    line = main(["report"])
    assert line.startswith("presets: params.yaml has threshold, sam, ")
    after = (folder / "params.yaml").read_text()
    assert after.splitlines()[0] == before.splitlines()[0]
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    keys = presets.read("report")
    assert list(new) == list(old)
    for key, value in old.items():
        expected = keys.get(key, value)
        assert new[key] == ({**value, **expected} if isinstance(value, dict) else expected)
    main(["report"])
    assert (folder / "params.yaml").read_text() == after


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(
        UserError, match="there is no preset 'reprot'; there are full_size, photo, report"
    ):
        presets.read("reprot")


def test_the_report_to_the_letter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKQUERY_DEVICE", "cpu")
    monkeypatch.setenv("MASKQUERY_CACHE", str(folder / "cells"))
    (folder / "rooms").mkdir()
    shutil.copyfile(ROOT / "data/rooms/images/room-000.jpg", folder / "rooms/room-000.jpg")
    main(["report"])
    document: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    document["images"], document["sam"]["points_per_side"] = "rooms", 5
    (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    masks.run(folder / "m", folder / "f.json", params.load(masks.Params))
    embeddings.run(folder / "m", folder / "e", params.load(embeddings.Params))
    scores.run(folder / "e", folder / "s", params.load(scores.Params))
    with MaskStore(folder / "m") as made:
        own = made.read("room-000")
    clip: CLIP = loading.load("tiny", "cpu")
    pixels = image_files.read(Path("rooms/room-000.jpg"))
    resolution = encoder.resolution(clip)
    crops = [as_clip_does(pixels[y0:y1, x0:x1], resolution) for x0, y0, x1, y1 in own.boxes]
    texts = encoder.encode_texts(clip, [own[0] for own in document["classes"].values()])
    cosines = encoder.encode_images(clip, np.stack(crops)) @ texts.T
    threshold = widest_gap(cosines)
    document["threshold"] = threshold
    (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    predictions.run(folder / "m", folder / "s", folder / "t", folder / "p", read_predictions())
    with PredictionStore(folder / "p") as found:
        prediction = found.read("room-000")
    stack = unpack(own.masks, own.width)
    for index, name in enumerate(document["classes"]):
        expected = stack[cosines[:, index] > threshold].any(axis=0)
        np.testing.assert_array_equal(unpack(prediction.masks[index], own.width), expected, name)
    assert prediction.masks.any()


def widest_gap(cosines: Any) -> float:
    """A threshold from 0.2 to 0.4, so far from all cosines that rounding is nothing."""
    near = np.sort(cosines[(cosines > 0.2) & (cosines < 0.4)])
    place = int(np.diff(near).argmax())
    assert near[place + 1] - near[place] > 1e-3
    return float((near[place] + near[place + 1]) / 2)


def read_predictions() -> predictions.Params:
    return params.load(predictions.Params)


def as_clip_does(pixels: Any, side: int) -> Any:
    """Resize and centre crop, as in clip.clip._transform."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    transform = Compose([Resize(side, interpolation=InterpolationMode.BICUBIC), CenterCrop(side)])
    return np.array(transform(Image.fromarray(pixels)))
