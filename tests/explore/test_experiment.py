"""The line is read by a shell and by DVC's own parser, and gives the settings."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from maskquery.core.errors import UserError
from maskquery.explore import experiment
from maskquery.explore.scores import Settings
from maskquery.scoring import class_embeddings
from tests.explore.site import SCORES

PARAMS: dict[str, Any] = {
    "threshold": 0.42,
    "scores": SCORES | {key: tuple(SCORES[key]) for key in ("templates", "negative_prompts")},
    "classes": {"chair": ("a chair",), "table": ("a table",), "red sofa": ("a sofa",)},
}
NASTY = [
    "it's a chair",
    'a "chair"',
    "a, b] = {c}: #d",
    "$HOME `id` $(id) ;&|",
    "a\\b",
    " spaced ",
    "ein Stühlchen 椅子",
    "null",
    "0.3",
    "-1",
    "",
]


def settings(scores: dict[str, Any] | None = None, **changes: Any) -> Settings:
    section = class_embeddings.Settings(**PARAMS["scores"] | (scores or {}))
    start = Settings(classes=PARAMS["classes"], text=(), scores=section)
    return start.model_copy(update=changes)


def line(wanted: Settings, threshold: float) -> str:
    now = class_embeddings.Settings(**PARAMS["scores"])
    return experiment.line(PARAMS["classes"], now, wanted, threshold)


def applied(typed: str, tmp_path: Path) -> Any:
    """params.yaml after the line."""
    words = shlex.split(typed)
    assert words[:3] == ["dvc", "exp", "run"]
    assert set(words[3::2]) == {"-S"}
    path = tmp_path / "params.yaml"
    plain = yaml.safe_load(yaml.safe_dump(PARAMS).replace("!!python/tuple", ""))
    path.write_text(yaml.safe_dump(plain))
    apply_overrides(path, words[4::2])
    return yaml.safe_load(path.read_text())


def test_what_is_the_same_in_params_is_left_out() -> None:
    assert line(settings(), 0.3) == "dvc exp run -S threshold=0.3"


@pytest.mark.parametrize("prompt", NASTY)
def test_prompts_arrive_as_they_were(prompt: str, tmp_path: Path) -> None:
    wanted = {**PARAMS["classes"], "chair": (prompt, "an armchair")}
    found = applied(line(settings(classes=wanted), -0.25), tmp_path)
    assert found["classes"]["chair"] == [prompt, "an armchair"]
    assert found["classes"]["table"] == ["a table"]
    assert found["threshold"] == -0.25


def test_the_scoring_arrives_with_what_belongs_to_it(tmp_path: Path) -> None:
    changes = {"scoring": "softmax", "negative_prompts": ("stuff", "a wall"), "temperature": 0.01}
    wanted = settings(changes)
    found = applied(line(wanted, 0.5), tmp_path)
    assert found["scores"] == SCORES | {**changes, "negative_prompts": ["stuff", "a wall"]}


def test_what_cosines_do_not_use_is_left_out() -> None:
    assert line(settings({"temperature": 0.5}), 0.3) == "dvc exp run -S threshold=0.3"


def test_other_settings_of_scores_arrive_too(tmp_path: Path) -> None:
    changes = {"templates": ("{}", "a photo of {}"), "prompts": "average", "quality": 1.0}
    found = applied(line(settings(changes), 0.5), tmp_path)
    assert found["scores"] == SCORES | {**changes, "templates": ["{}", "a photo of {}"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {"view_weights": {"crop": 1.0}}}, "start the explorer anew"),
        ({"text": ("a dog",)}, "add a class under `classes`"),
        ({"classes": {**PARAMS["classes"], "red sofa": ("a bench",)}}, "-S cannot name"),
        ({"classes": {**PARAMS["classes"], "chair": ("${images}",)}}, "-S cannot say"),
        ({"classes": {**PARAMS["classes"], "chair": ("a\\",)}}, "-S cannot say"),
    ],
)
def test_what_the_line_cannot_say_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        line(settings(**changes), 0.5)
