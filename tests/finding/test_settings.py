"""The params that `find` runs with: those of the package, of a project, and those given.

`python -m tests.finding.test_settings` writes the package's anew, from params.yaml and
metrics/thresholds.json.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskquery.core import params, yaml_text
from maskquery.core.errors import UsageError, UserError
from maskquery.finding import settings
from maskquery.finding.settings import Base, Given, Params, threshold_of

ROOT = Path(__file__).resolve().parents[2]


def packaged() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the package's params.yaml and thresholds.json have to hold."""
    document = params.read(ROOT / "params.yaml")
    calibrated = json.loads((ROOT / "metrics/thresholds.json").read_text())
    own = {key: document[key] for key in params.keys(Params) if key != "images"}
    return own, {"common": calibrated["common"]}


def test_the_package_has_the_params_and_the_threshold_of_the_project() -> None:
    document, calibrated = packaged()
    stale = "run `python -m tests.finding.test_settings`"
    assert params.read(settings.PACKAGE.params) == document, stale
    assert json.loads(settings.PACKAGE.thresholds.read_text()) == calibrated, stale


def test_the_threshold_of_the_package_is_a_number() -> None:
    document, calibrated = packaged()
    assert threshold_of(document, settings.PACKAGE) == calibrated["common"]


def test_a_project_is_a_folder_with_its_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.base_here() == settings.PACKAGE
    (tmp_path / "params.yaml").write_text("scores: {}")
    assert settings.base_here() == settings.PROJECT


def test_the_params_of_another_program_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("train: {epochs: 3}")
    with pytest.raises(UserError, match=r"another program's .*: run in another folder") as caught:
        settings.base_here()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("images", "images does nothing in find: the image or folder is named after the command"),
        ("classes.chair", "classes.chair does nothing in find: prompts are named"),
        ("scores.templates", "scores.templates does nothing in find: a prompt is taken as it is"),
        ("selection.exclusive", "does nothing in find: a mask may be of several prompts"),
        ("ground_truth.folder", "ground_truth.folder is not a key that find reads (threshold, "),
        ("overlays.class", "overlays.class is not a key that find reads"),
        ("sum.model", "sum.model is not a key that find reads"),
    ],
)
def test_keys_that_would_do_nothing_are_refused(key: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.expect_known([Given(key, 1, "--set")])
    assert str(caught.value).startswith("--set: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (("sam.model", "--sam"), ("sam.model", "--set"), "--sam and --set: sam.model is given tw"),
        (("sam.tier", "--set"), ("sam.tier", "--set"), "^--set: sam.tier is given twice"),
        (("sam", "--set"), ("sam.tier", "--set"), "^--set: sam.tier is given twice"),
        (("sam.tier", "--set"), ("sam", "--set"), "^--set: sam is given twice"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(
    first: tuple[str, str], second: tuple[str, str], why: str
) -> None:
    given = [Given(key, 1, place) for key, place in (first, second)]
    with pytest.raises(UsageError, match=why):
        settings.expect_known(given)
    settings.expect_known([Given("sam.tier", 1, "--set"), Given("sam.tiers", 1, "--set")])


def test_whoever_gave_a_value_is_blamed_for_it() -> None:
    document = packaged()[0] | {"images": "a.png"}
    given = [Given("sam.box_nms_thresh", 0.5, "--set"), Given("sam.model", "huge", "--sam")]
    changed = settings.put_in({**document, "sam": dict(document["sam"])}, given)
    with pytest.raises(UsageError, match=r"^--sam: sam.model is 'huge'; it must be "):
        settings.validate(changed, given, settings.PACKAGE)
    with pytest.raises(UserError, match=r"^params.yaml: sam.model is 'huge'") as caught:
        settings.validate(changed, [], settings.PROJECT)
    assert not isinstance(caught.value, UsageError)


def base_of(folder: Path, thresholds: str) -> tuple[dict[str, Any], Base]:
    """A folder with params.yaml and calibrated thresholds, and what params.yaml holds."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "thresholds.json").write_text(thresholds)
    base = Base(folder / "params.yaml", folder / "thresholds.json", folder / "dvc.lock")
    return params.read(base.params), base


def test_a_calibrated_threshold_is_the_number_for_all_classes(tmp_path: Path) -> None:
    document, base = base_of(tmp_path, '{"common": 0.25, "classes": {"chair": 0.5}}')
    for rule in ("calibrated", "common"):
        assert threshold_of({**document, "threshold": rule}, base) == 0.25
    for rule in (0.3, "otsu", "no rule"):
        assert threshold_of({**document, "threshold": rule}, base) == rule


def test_a_calibrated_threshold_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    document, base = base_of(tmp_path, '{"common": null, "classes": {}}')
    other = {**document, "clip": {**document["clip"], "model": "ViT-B/32"}}
    with pytest.raises(UserError, match=r"other settings .*: give a number \(--threshold\)"):
        threshold_of({**other, "threshold": "calibrated"}, base)
    with pytest.raises(UserError, match=r"no threshold for all .*: give a number \(--threshold\)"):
        threshold_of({**document, "threshold": "calibrated"}, base)
    base.thresholds.unlink()
    with pytest.raises(UserError, match=r"cannot be used .*: give a number \(--threshold\), or "):
        threshold_of({**document, "threshold": "calibrated"}, base)


def test_the_run_that_a_threshold_is_from_is_that_of_the_lock(tmp_path: Path) -> None:
    document, base = base_of(tmp_path, '{"common": 0.25, "classes": {}}')
    stages = {"masks": "sam", "embeddings": "clip", "scores": "scores"}
    lock = {
        "stages": {
            stage: {"params": {"params.yaml": {key: document[key]}}}
            for stage, key in stages.items()
        }
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    asked = {**document, "threshold": "calibrated"}
    assert threshold_of(asked, base) == 0.25
    edited = {**document, "scores": {**document["scores"], "scoring": "cosine"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(edited))
    with pytest.raises(UserError, match="other settings"):
        threshold_of({**edited, "threshold": "calibrated"}, base)
    assert threshold_of(asked, base) == 0.25
    (tmp_path / "dvc.lock").write_text("stages: {}")
    with pytest.raises(UserError, match="has no whole run of the pipeline"):
        threshold_of(asked, base)


if __name__ == "__main__":
    own, thresholds = packaged()
    settings.PACKAGE.params.write_text(
        "# What `find` takes where there is no project. A copy: change the project's params.yaml.\n"
        + yaml_text.dump(own)
    )
    settings.PACKAGE.thresholds.write_text(json.dumps(thresholds) + "\n")
    sys.exit(0)
