"""The shipped models on small pictures: what is found is what the stages find; all is written."""

import contextlib
import io
import json
import os
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

from maskquery import finding
from maskquery.core import params
from maskquery.core.errors import FatalError, InterruptedWork, UsageError, UserError
from maskquery.finding import command, find
from maskquery.finding.asking import against, asking, names
from maskquery.finding.settings import PACKAGE, Given, put_in
from maskquery.masks.mask_store import MaskStore, PredictionStore
from maskquery.masks.packed import unpack
from stages import embeddings, masks, predictions, scores
from tests.support.builders import ROOT, loaded_modules

TINY = {"sam.model": "tiny", "clip.model": "tiny"}
COARSE = TINY | {  # and every mask, whatever the shipped models are
    "sam.points_per_side": 3,
    "sam.pred_iou_thresh": 0.0,
    "sam.stability_score_thresh": 0.0,
    "selection.part_share": 1.0,
    "selection.duplicate_iou": 1.0,
}
PROMPTS = ["a red chair", "ein Hüt / <b>"]


def changed(path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """What a params.yaml holds, with other values."""
    return put_in(params.read(path), [Given(key, value, "") for key, value in changes.items()])


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
    """In a folder without a params.yaml, with one cache of finished work for all these tests."""
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
    document = changed(PACKAGE.params, COARSE)
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
        raise AssertionError("a model is loaded for work that is in the cache of finished work")

    for module in ("maskquery.sam.job", "maskquery.clip.job"):
        monkeypatch.setattr(f"{module}.load", load)
    found = find(folder, "a red chair", threshold=0.2, settings=COARSE)
    assert found.keys() == {"one", "trip/zwei ü", "blank"}


def test_it_changes_no_environment_variable(folder: Path) -> None:
    before = dict(os.environ)
    find(folder, "a red chair", threshold=0.3, settings=COARSE)
    assert dict(os.environ) == before


def test_finished_work_is_kept_in_the_users_cache_or_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASKQUERY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    picture(tmp_path / "a.png")
    find("a.png", "a chair", threshold=0.3, settings=COARSE)
    assert list((tmp_path / "xdg/maskquery/cells/masks").glob("??/*"))
    assert not (tmp_path / ".cache").exists()
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    find("a.png", "a chair", threshold=0.3, settings=COARSE)
    assert list((tmp_path / ".cache/masks").glob("??/*"))


def test_the_packages_threshold_is_taken_where_none_is_given(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    find("a.png", "a chair", out="out", preset="demo")
    threshold = json.loads(PACKAGE.thresholds.read_text())["common"]
    assert json.loads((tmp_path / "out/made.json").read_text())["threshold"] == threshold
    with pytest.raises(UserError, match=r"on other settings .*: give a number \(--threshold\)"):
        find("a.png", "a chair", settings=COARSE)


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
        (["a.png", "x " * 100, "--preset", "demo"], "and CLIP reads 77"),
        (["a.png", "a chair", "--out", "."], r"^\. is the folder that this runs in, or is around"),
        (
            ["a.png", "a chair", "--out", ".."],
            r"^\.\. is the folder that this runs in, or is around",
        ),
        (["a.png", "a chair", "--out", "notes.txt"], "^notes.txt is a file: give another folder"),
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
        command.main([*arguments, "--threshold=0.3", "--set", "sam.points_per_side=2"])
    assert "dvc" not in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert not re.search("tmp[a-z0-9_]{8}/", str(caught.value))
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--threshold", "2"], "^--threshold: threshold is 2.0; it must be"),
        (["--threshold", "high"], "^--threshold: threshold is 'high'; it must"),
        (["--set", "threshold=2"], "^--set: threshold is 2; it must be"),
        (["--sam", "huge"], "^--sam: sam.model is 'huge'; it must be"),
        (["--points-per-side", "0"], "^--points-per-side: sam.points_per_side is 0; it must be"),
        (["--points-per-side", "x"], "argument --points-per-side: invalid int value"),
        (["--set", "sam.points=1"], "^--set: sam.points is not a known key; allowed"),
        (["--set", "sum.model=tiny"], "^--set: sum.model is not a key that find reads"),
        (["--set", "threshold.x=1"], "^--set: threshold.x is not a known key"),
        (["--set", "sam.model.x=1"], "^--set: sam.model.x is not a known key"),
        (
            ["--set", "scores.negative_prompts=5"],
            "^--set: scores.negative_prompts is 5; it must be a list",
        ),
        (["--set", "scores.view_weights={plain: 1.0}"], "^--set: scores.view_weights names plain"),
        (["--set", "clip.views=[plain]"], "^--set: scores.view_weights names blurred, crop"),
        (["--set", "nothing"], "^--set nothing: it must be KEY=VALUE"),
        (["--set", "sam.model=[a"], r"^--set sam.model=\[a line 1: "),
        (["--sam", "tiny", "--set", "sam.model=vit_h"], "^--sam and --set: sam.model is given tw"),
        (["--set", "sum.model=1", "--out", ".", "--sam", "huge"], "^--set: sum.model is not a key"),
    ],
)
def test_a_wrong_option_is_named_before_all_else(
    tmp_path: Path, options: list[str], why: str
) -> None:
    """Even where the image is missing and params.yaml is damaged in another key."""
    document = changed(ROOT / "params.yaml", {"max_pixels": 10**6})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(UsageError, match=why):
        command.main(["none.png", "a chair", *options])


def test_values_are_read_as_in_params_yaml() -> None:
    assert command.setting("sam.box_nms_thresh=1e-2") == Given("sam.box_nms_thresh", 0.01, "--set")
    assert command.setting("clip.views=[crop, yes]").value == ["crop", "yes"]
    chosen = command.parser().parse_args(["a.png", "a chair", "--threshold", "1e-2"])
    assert command.values_on_command_line(chosen) == [Given("threshold", 0.01, "--threshold")]


def test_a_second_image_is_not_taken_for_a_prompt(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    with pytest.raises(UsageError, match=r"the prompt 'b.png' is a file, .*: for several images"):
        command.main(["a.png", "b.png", "a dog"])


def test_what_is_wrong_with_the_pipelines_files_has_the_remedy_of_find(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(finding, "write_embeddings", fail)
    problem: BaseException = FatalError("the disk is full", "free some, then run `dvc repro`")
    with pytest.raises(UserError, match=r"^the disk is full: ask again; what is done is kept$"):
        find(folder, "a red chair", threshold=0.3, settings=COARSE)
    problem = UserError("a.png is empty", "replace it")
    with pytest.raises(UserError, match=r"^a\.png is empty: replace it$"):
        find(folder, "a red chair", threshold=0.3, settings=COARSE)
    problem = InterruptedWork("2 of 3 images are done", "`dvc repro` goes on there")
    with pytest.raises(KeyboardInterrupt, match=r"are done; the same command goes on there$"):
        find(folder, "a red chair", threshold=0.3, settings=COARSE)


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


KNOWN = {
    "scores": {"templates": ["a photo of {}"], "prompts": "average", "negative_prompts": ["a box"]},
    "classes": {
        "chair": ["a chair", "a seat"],
        "sofa": ["a sofa", "a couch"],
        "bed": ["a bed"],
    },
}


@pytest.mark.parametrize(
    ("prompt", "negatives"),
    [
        ("a red Chair", ["a box", "a sofa", "a bed"]),
        ("a red couch", ["a box", "a chair", "a bed"]),
        ("the couch of the seats", ["a box", "a bed"]),
        ("a bedside lamp", ["a box", "a chair", "a sofa", "a bed"]),
        ("two boxes", ["a chair", "a sofa", "a bed"]),
        ("chairs", ["a box", "a sofa", "a bed"]),
    ],
)
def test_what_a_prompt_does_not_name_stands_against_it(prompt: str, negatives: list[str]) -> None:
    assert list(against(KNOWN, prompt)) == negatives


def test_names_are_whole_words_whatever_they_hold() -> None:
    assert names("a (big) box.", ["a (big) box"])
    assert not names("a chairlift", ["a chair"])


def test_the_settings_name_what_stands_against_any_prompt() -> None:
    found = asking(KNOWN, {prompt: against(KNOWN, prompt) for prompt in ("a chair", "a couch")})
    assert found["scores"] == {
        "templates": ["{}"],
        "prompts": "best",
        "negative_prompts": ["a box", "a sofa", "a bed", "a chair"],
    }
    assert found["classes"] == {"a chair": ["a chair"], "a couch": ["a couch"]}
    assert KNOWN["scores"]["negative_prompts"] == ["a box"]


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


def test_a_prompt_of_two_lines_is_drawn_and_a_negation_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "not a\nchair\x1b[31m"
    source = ROOT / "data/rooms/images/room-001.jpg"
    images = find(source, [prompt], preset="demo", out=tmp_path / "out")
    assert images["room-001"].classes == (prompt,)
    assert (tmp_path / "out/overlays/room-001.jpg").exists()
    assert r"CLIP reads no negation: 'not a\nchair\x1b[31m' scores" in capsys.readouterr().err
