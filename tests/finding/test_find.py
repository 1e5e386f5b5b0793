"""The shipped models on small pictures: what is found is what the stages find; all is written."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.finding import ROOT, command, find
from maskquery.finding.asking import against, asking, changed, names, threshold_of
from maskquery.jobs import cache as cache_module
from maskquery.masks.mask_store import MaskStore, PredictionStore
from maskquery.masks.packed import unpack
from stages import embeddings, masks, predictions, scores
from tests.support.builders import loaded_modules

COARSE = {  # and every mask, whatever the shipped models are
    "sam.points_per_side": 3,
    "sam.pred_iou_thresh": 0.0,
    "sam.stability_score_thresh": 0.0,
    "selection.part_share": 1.0,
    "selection.duplicate_iou": 1.0,
}
PROMPTS = ["a red chair", "ein Hüt / <b>"]


def picture(path: Path, size: tuple[int, int] = (60, 44)) -> Path:
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((5, 5, size[0] // 2, size[1] // 2), "red")
    pen.ellipse((size[0] // 2, size[1] // 2, size[0] - 4, size[1] - 4), "blue")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a params.yaml, with one side cache for all these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKQUERY_CACHE", str(cache))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "shots/one.png")
    picture(tmp_path / "shots/trip/zwei ü.jpg", (37, 50))
    Image.new("RGB", (24, 16), "white").save(tmp_path / "shots/blank.bmp")
    return tmp_path / "shots"


def test_it_takes_an_archive(folder: Path, tmp_path: Path) -> None:
    loose = find(folder, PROMPTS, threshold=-1, settings=COARSE)
    archive = Path(shutil.make_archive(str(tmp_path / "shots"), "zip", folder))
    packed = find(archive, PROMPTS, threshold=-1, settings=COARSE, out=tmp_path / "out")
    assert packed.keys() == loose.keys()
    for image, own in packed.items():
        assert own.name == loose[image].name
        np.testing.assert_array_equal(own.union(PROMPTS[0]), loose[image].union(PROMPTS[0]))
    assert len(list((tmp_path / "out/overlays").iterdir())) == len(loose) * len(PROMPTS)


def test_it_gives_what_the_stages_give(folder: Path, tmp_path: Path) -> None:
    every = find(folder, PROMPTS, threshold=-1, settings=COARSE)
    similarities = [own.score for image in every.values() for own in image.objects]
    threshold = float(np.median(np.array(similarities, float)))
    found = find(folder, PROMPTS, threshold=threshold, settings=COARSE)
    count = sum(len(image.objects) for image in found.values())
    assert 0 < count < len(similarities)
    document = changed(ROOT / "params.yaml", COARSE)
    assert found.keys() == {"one", "trip/zwei ü", "blank"}
    for number, prompt in enumerate(PROMPTS):
        own = tmp_path / f"own{number}"
        own.mkdir()
        asked = asking(document, {prompt: against(document, prompt)})
        asked |= {"images": str(folder), "threshold": threshold}
        (own / "params.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
        run_stages(own)
        with PredictionStore(own / "predictions.zarr") as expected:
            for image, own_image in found.items():
                prediction = expected.read(image)
                plane = unpack(prediction.masks[0], prediction.width)
                np.testing.assert_array_equal(own_image.union(prompt), plane)
                assert len(own_image.masks(prompt)) == prediction.chosen[0]


def run_stages(own: Path) -> None:
    """Into the folder of a params.yaml."""
    read: Any = lambda stage: params.load(stage.Params, own / "params.yaml")  # noqa: E731
    store, table, rows = own / "masks.zarr", own / "embeddings.parquet", own / "scores.parquet"
    masks.run(store, own / "failures.json", read(masks))
    embeddings.run(store, table, read(embeddings))
    scores.run(table, rows, read(scores))
    predictions.run(store, rows, own / "none.json", own / "predictions.zarr", read(predictions))


def test_a_prompt_more_changes_nothing_of_another(folder: Path) -> None:
    one = find(folder, "a chair", threshold=-1, settings=COARSE)
    two = find(folder, ["a chair", "a red chair", "a box"], threshold=-1, settings=COARSE)
    for image, own in one.items():
        alone = [each.score for each in own.objects]
        assert [each.score for each in two[image].objects if each.name == "a chair"] == alone


def test_everything_is_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = find(folder, PROMPTS, threshold=-1, out=out, settings=COARSE)
    assert {path.name for path in out.iterdir()} == {
        "masks.zarr", "embeddings.parquet", "scores.parquet", "predictions.zarr", "params.yaml",
        "annotations.json", "overlays", "failures.json", "made.json",
    }  # fmt: skip
    assert len(list((out / "overlays").iterdir())) == len(found) * len(PROMPTS)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(out / "annotations.json")
    assert len(coco.anns) == sum(len(image.objects) for image in found.values()) > 0
    files = {image.name: image for image in found.values()}
    table = pd.read_parquet(out / "scores.parquet")
    for own in coco.anns.values():
        image = files[coco.imgs[own["image_id"]]["file_name"]]
        prompt = coco.cats[own["category_id"]]["name"]
        stack = image.masks(prompt)
        mask = coco.annToMask(own).astype(bool)
        assert any(np.array_equal(mask, each) for each in stack)
        row = table[
            (table["image"] == image.image)
            & (table["mask_id"] == int(own["mask_id"]))
            & (table["class"] == prompt)
        ]
        assert own["score"] == pytest.approx(row["score"].item(), abs=1e-6)
    settings = yaml.safe_load((out / "params.yaml").read_text(encoding="utf-8"))
    assert (settings["images"], settings["threshold"]) == (str(folder), -1)


def test_a_single_image_is_named_after_its_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "fotos/Mein Bild.v2.png")
    found = find(Path("fotos/Mein Bild.v2.png"), "a red chair", threshold=-1, settings=COARSE)
    assert list(found) == ["Mein Bild.v2"]
    (image,) = found.values()
    assert (image.path, image.name) == (Path("fotos/Mein Bild.v2.png"), path.name)
    assert image.union("a red chair").shape == (44, 60)
    assert (tmp_path / "fotos").exists()
    assert [each.name for each in (tmp_path / "fotos").iterdir()] == [path.name]


def test_work_is_done_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find(folder, "a red chair", threshold=-1, settings=COARSE)

    def load(*_: object) -> None:
        raise AssertionError("a model is loaded for work that is in the side cache")

    for module in ("maskquery.sam.job", "maskquery.clip.job"):
        monkeypatch.setattr(f"{module}.load", load)
    found = find(folder, "a red chair", threshold=0.2, settings=COARSE)
    assert found.keys() == {"one", "trip/zwei ü", "blank"}


def test_the_side_cache_is_beside_the_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    monkeypatch.delenv("MASKQUERY_CACHE")
    monkeypatch.setattr(
        "maskquery.finding._run", lambda *_: used.append(str(cache_module.root())) or {}
    )
    picture(tmp_path / "a.png")
    find("a.png", "a chair", threshold=0.3)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    find("a.png", "a chair", threshold=0.3)
    assert used == [str(ROOT / ".cache"), str(tmp_path / ".cache")]


def test_params_of_the_current_folder_are_used(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    document = changed(ROOT / "params.yaml", {**COARSE, "threshold": 0.123})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    find("a.png", "a chair", out="out")
    made = json.loads((tmp_path / "out/made.json").read_text())
    assert made["threshold"] == 0.123
    assert made["against"].keys() == {"a chair"}
    assert {"things", "a table"} < set(made["against"]["a chair"])
    assert "a chair" not in made["against"]["a chair"]
    assert yaml.safe_load((tmp_path / "out/params.yaml").read_text())["sam"] == document["sam"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.png", "a chair"], "none.png does not exist"),
        (["notes.txt", "a chair"], r"notes.txt is not an image by its name \(\.bmp, "),
        (["torn.png", "a chair"], "1 of 1 images failed; .*'torn': torn.png cannot be read"),
        (["empty", "a chair"], "empty holds no images"),
        (["a.png", " "], "a prompt must not be empty"),
        (["a.png", "x " * 100], "77 tokens"),
        (["a.png", "a chair", "--threshold", "2"], "^params.yaml: threshold is 2.0; it must be"),
        (["a.png", "a chair", "--threshold", "high"], "^params.yaml: threshold is 'high'; it must"),
        (["a.png", "a chair", "--sam", "huge"], "^params.yaml: sam.model is 'huge'; it must be"),
        (["a.png", "a chair", "--points-per-side", "0"], "points_per_side is 0; it must be"),
        (["a.png", "a chair", "--set", "sam.points=1"], "sam.points is not a known key; allowed"),
        (["a.png", "a chair", "--set", "sum.model=tiny"], "sum.model is not a known key of"),
        (["a.png", "a chair", "--set", "threshold.x=1"], "threshold.x is not a known key of"),
        (["a.png", "a chair", "--set", "nothing"], "--set nothing: it must be KEY=VALUE"),
        (["a.png", "a chair", "--out", "."], "current folder|would be taken"),
        (["shots", "a chair", "--out", "shots/found"], "would be taken for images next time"),
    ],
)
def test_mistakes_are_told_in_words(
    folder: Path, tmp_path: Path, arguments: list[str], why: str
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(UserError, match=why) as caught:
        command.main(["--threshold=0.3", "--set", "sam.points_per_side=2", *arguments])
    assert "dvc" not in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert not re.search("tmp[a-z0-9_]{8}/", str(caught.value))
    assert not (tmp_path / "found").exists()


def test_at_the_command_line_images_that_fail_may_be_skipped(folder: Path, tmp_path: Path) -> None:
    (folder / "torn.png").write_bytes((folder / "one.png").read_bytes()[:100])
    settings = [part for key, value in COARSE.items() for part in ("--set", f"{key}={value}")]
    line = command.main(
        ["shots", *PROMPTS, "--threshold=-1", "--on-error", "skip", "--out", "o", *settings]
    )
    with MaskStore(tmp_path / "o/masks.zarr") as store:
        count = sum(len(store.columns(image).ids) for image in store.images())
    assert line.startswith(f"find: {count} masks of 'a red chair' in ")
    assert line.endswith("; 1 images failed: see o/failures.json; look at o/overlays")
    with pytest.raises(UserError, match="1 of 4 images failed; the others are done and kept"):
        command.main(["shots", "a chair", "--threshold=0", "--out", "p", *settings])


def test_importing_it_loads_no_model() -> None:
    loaded = loaded_modules("import maskquery.finding.command")
    assert not loaded & {"torch", "pandas", "zarr", "clip", "segment_anything", "numba"}


def test_an_image_without_a_single_mask_is_in_the_result(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    nothing = {**COARSE, "sam.pred_iou_thresh": 1.0, "sam.stability_score_thresh": 1.0}
    found = find("a.png", "a chair", threshold=-1, out="out", settings=nothing)
    assert found["a"].masks("a chair").shape == (0, 44, 60)
    assert not found["a"].union("a chair").any()
    document = json.loads((tmp_path / "out/annotations.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in document["images"]] == ["a.png"]
    assert document["annotations"] == []


def base_of(folder: Path, thresholds: str) -> dict[str, Any]:
    """A folder with params.yaml and calibrated thresholds; what params.yaml holds."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "metrics").mkdir()
    (folder / "metrics/thresholds.json").write_text(thresholds)
    return changed(folder / "params.yaml", {})


def test_a_calibrated_threshold_is_the_number_for_all_classes(tmp_path: Path) -> None:
    document = base_of(tmp_path, '{"common": 0.25, "classes": {"chair": 0.5}}')
    for rule in ("calibrated", "common"):
        assert threshold_of({**document, "threshold": rule}, tmp_path) == 0.25
    for rule in (0.3, "otsu"):
        assert threshold_of({**document, "threshold": rule}, tmp_path) == rule


def test_a_calibrated_threshold_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    document = base_of(tmp_path, '{"common": null, "classes": {}}')
    other = {**document, "clip": {**document["clip"], "model": "ViT-B/32"}}
    with pytest.raises(UserError, match=r"other settings .*: give a number \(--threshold\)"):
        threshold_of({**other, "threshold": "calibrated"}, tmp_path)
    with pytest.raises(UserError, match=r"give a number \(--threshold\), for "):
        threshold_of({**document, "threshold": "calibrated"}, tmp_path)


KNOWN = {
    "scores": {"templates": ["a photo of {}"], "prompts": "average", "contrast": ["a box"]},
    "classes": {
        "chair": ["a chair", "a seat"],
        "sofa": ["a sofa", "a couch"],
        "bed": ["a bed"],
    },
}


@pytest.mark.parametrize(
    ("prompt", "rivals"),
    [
        ("a red Chair", ["a box", "a sofa", "a bed"]),
        ("a red couch", ["a box", "a chair", "a bed"]),
        ("the couch of the seats", ["a box", "a bed"]),
        ("a bedside lamp", ["a box", "a chair", "a sofa", "a bed"]),
        ("two boxes", ["a chair", "a sofa", "a bed"]),
        ("chairs", ["a box", "a sofa", "a bed"]),
    ],
)
def test_what_a_prompt_does_not_name_stands_against_it(prompt: str, rivals: list[str]) -> None:
    assert list(against(KNOWN, prompt)) == rivals


def test_names_are_whole_words_whatever_they_hold() -> None:
    assert names("a (big) box.", ["a (big) box"])
    assert not names("a chairlift", ["a chair"])


def test_the_settings_name_what_stands_against_any_prompt() -> None:
    found = asking(KNOWN, {prompt: against(KNOWN, prompt) for prompt in ("a chair", "a couch")})
    assert found["scores"] == {
        "templates": ["{}"],
        "prompts": "best",
        "contrast": ["a box", "a sofa", "a bed", "a chair"],
    }
    assert found["classes"] == {"a chair": ["a chair"], "a couch": ["a couch"]}
    assert KNOWN["scores"]["contrast"] == ["a box"]


def test_the_run_that_a_threshold_is_from_is_that_of_the_lock(tmp_path: Path) -> None:
    document = base_of(tmp_path, '{"common": 0.25, "classes": {}}')
    stages = {"masks": "sam", "embeddings": "clip", "scores": "scores"}
    lock = {
        "stages": {
            stage: {"params": {"params.yaml": {key: document[key]}}}
            for stage, key in stages.items()
        }
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    asked = {**document, "threshold": "calibrated"}
    assert threshold_of(asked, tmp_path) == 0.25
    edited = {**document, "scores": {**document["scores"], "scoring": "cosine"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(edited))
    with pytest.raises(UserError, match="other settings"):
        threshold_of({**edited, "threshold": "calibrated"}, tmp_path)
    assert threshold_of(asked, tmp_path) == 0.25
    (tmp_path / "dvc.lock").write_text("stages: {}")
    with pytest.raises(UserError, match="has no whole run of the pipeline"):
        threshold_of(asked, tmp_path)


def test_where_nothing_is_found_the_highest_score_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    settings = [f"--set={key}={value}" for key, value in COARSE.items()]
    line = command.main(["a.png", "a chair", "--threshold", "1", "--out", "out", *settings])
    highest = pd.read_parquet(tmp_path / "out/scores.parquet")["score"].max()
    expected = f"0 masks of 'a chair' in 0 of 1 images (the highest score is {highest:.3f}, "
    assert line.startswith(f"find: {expected}the threshold 1.0); look at ")


def test_a_prompt_that_was_not_asked_for_has_no_answer(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    found = find("a.png", "a chair", threshold=-1, settings=COARSE)
    with pytest.raises(KeyError, match="'a chiar' was not looked for, but 'a chair'"):
        found["a"].union("a chiar")
    assert "array" not in repr(found)
