"""The line is read by a shell and by DVC's own parser, and gives the settings."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from explore import experiment, scores
from explore.scores import Settings
from retrieval.errors import UserError

PARAMS: dict[str, Any] = {
    "threshold": 0.42,
    "scores": {"scoring": "cosine", "contrast": ("a thing",), "temperature": 0.05},
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


def settings(**changes: Any) -> Settings:
    return scores.initial(PARAMS["classes"], PARAMS["scores"]).model_copy(update=changes)


def applied(line: str, tmp_path: Path) -> Any:
    """params.yaml after the line."""
    words = shlex.split(line)
    assert words[:3] == ["dvc", "exp", "run"]
    assert set(words[3::2]) == {"-S"}
    path = tmp_path / "params.yaml"
    plain = yaml.safe_load(yaml.safe_dump(PARAMS).replace("!!python/tuple", ""))
    path.write_text(yaml.safe_dump(plain))
    apply_overrides(path, words[4::2])
    return yaml.safe_load(path.read_text())


def test_what_is_the_same_in_params_is_left_out() -> None:
    assert experiment.line(PARAMS, settings(), 0.3) == "dvc exp run -S threshold=0.3"


@pytest.mark.parametrize("prompt", NASTY)
def test_prompts_arrive_as_they_were(prompt: str, tmp_path: Path) -> None:
    wanted = {**PARAMS["classes"], "chair": (prompt, "an armchair")}
    found = applied(experiment.line(PARAMS, settings(classes=wanted), -0.25), tmp_path)
    assert found["classes"]["chair"] == [prompt, "an armchair"]
    assert found["classes"]["table"] == ["a table"]
    assert found["threshold"] == -0.25


def test_the_scoring_arrives_with_what_belongs_to_it(tmp_path: Path) -> None:
    wanted = settings(scoring="contrast", contrast=("stuff", "a wall"), temperature=0.01)
    found = applied(experiment.line(PARAMS, wanted, 0.5), tmp_path)
    assert found["scores"] == {
        "scoring": "contrast",
        "contrast": ["stuff", "a wall"],
        "temperature": 0.01,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ("a dog",)}, "add a class under `classes`"),
        ({"classes": {**PARAMS["classes"], "red sofa": ("a bench",)}}, "-S cannot name"),
        ({"classes": {**PARAMS["classes"], "chair": ("${images}",)}}, "-S cannot say"),
        ({"classes": {**PARAMS["classes"], "chair": ("a\\",)}}, "-S cannot say"),
    ],
)
def test_what_the_line_cannot_say_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        experiment.line(PARAMS, settings(**changes), 0.5)


def test_a_pipeline_that_knows_no_scoring_is_told_of_none() -> None:
    old = {**PARAMS, "scores": {}}
    assert experiment.line(old, settings(), 0.3) == "dvc exp run -S threshold=0.3"
    with pytest.raises(UserError, match=r"no key scores\.scoring"):
        experiment.line(old, settings(scoring="contrast"), 0.3)
