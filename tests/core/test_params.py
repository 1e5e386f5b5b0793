from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest

from maskquery.core import params
from maskquery.core.errors import UserError


class Sam(params.Section):
    model: Literal["tiny", "vit_h"]
    points: Annotated[int, pydantic.Field(ge=1)]


class Overlays(params.Section):
    class_: params.Text = pydantic.Field(alias="class")


class Params(params.Section):
    threshold: Annotated[float, pydantic.Field(ge=-1, le=1)]
    images: params.Folder
    sam: Sam
    classes: dict[params.Text, tuple[params.Text, ...]]
    overlays: Overlays
    palette: dict[int, tuple[int, int, int]]


GOOD = """\
threshold: 0.3
images: data/images
sam:
  model: tiny
  points: 32
classes:
  chair:
    - a chair
    - an armchair
overlays:
  class: chair
palette:
  6: [1, 2, 3]
other_stage: {anything: [1, 2]}
"""


def load(tmp_path: Path, text: str) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.load(Params, path)


def test_what_fits_is_read_and_other_stages_keys_are_left_alone(tmp_path: Path) -> None:
    result = load(tmp_path, GOOD)
    assert result.threshold == 0.3
    assert result.images == Path("data/images")
    assert result.sam == Sam(model="tiny", points=32)
    assert result.classes == {"chair": ("a chair", "an armchair")}
    assert result.overlays.class_ == "chair"
    assert result.palette == {6: (1, 2, 3)}


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    result = load(tmp_path, GOOD.replace("0.3", "1"))
    assert (result.threshold, type(result.threshold)) == (1.0, float)


def test_nothing_can_be_changed(tmp_path: Path) -> None:
    result = load(tmp_path, GOOD)
    with pytest.raises(pydantic.ValidationError):
        result.threshold = 0.5


def test_keys_are_those_of_the_file() -> None:
    assert params.keys(Overlays) == ("class",)


WRONG = {
    "missing": ("threshold: 0.3\n", "", "threshold is missing"),
    "missing within": ("  points: 32\n", "", "sam.points is missing"),
    "unknown": (
        "points: 32",
        "points: 32\n  pints: 32",
        "sam.pints is not a known key; allowed are model, points",
    ),
    "misspelt": (
        "points: 32",
        "pints: 32",
        "sam.pints is not a known key; allowed are model, points (and 1 more)",
    ),
    "alias": (
        "class: chair",
        "class_: chair",
        "overlays.class_ is not a known key; allowed are class",
    ),
    "too large": ("0.3", "1.5", "threshold is 1.5; it must be less than or equal to 1"),
    "too small": (
        "points: 32",
        "points: 0",
        "sam.points is 0; it must be greater than or equal to 1",
    ),
    "nan": ("0.3", ".nan", "threshold is nan; it must be a finite number"),
    "infinite": ("0.3", "-.inf", "threshold is -inf; it must be a finite number"),
    "bool": ("0.3", "true", "threshold is true; it must be a number"),
    "bool for int": ("points: 32", "points: true", "sam.points is true; it must be a whole number"),
    "float for int": (
        "points: 32",
        "points: 32.0",
        "sam.points is 32.0; it must be a whole number",
    ),
    "null": ("0.3", "null", "threshold is null; it must be a number"),
    "quoted": (
        "0.3",
        "'0.3'",
        "threshold is '0.3'; it must be a number; this is text, write 0.3 without quotes",
    ),
    "1e-3": (
        "0.3",
        "'1e-3'",
        "threshold is '1e-3'; it must be a number; this is text, write 0.001 without quotes",
    ),
    "expression": ("0.3", "0.1+0.2", "threshold is '0.1+0.2'; it must be a number"),
    "choice": ("model: tiny", "model: vit_x", "sam.model is 'vit_x'; it must be 'tiny' or 'vit_h'"),
    "number for text": ("- a chair", "- 6", "classes.chair[0] is 6; it must be a string"),
    "empty text": ("- a chair", "- ''", "classes.chair[0] is ''; it must not be empty"),
    "blank text": ("- a chair", "- '  '", "classes.chair[0] is '  '; it must not be empty"),
    "text for list": (
        "    - a chair\n    - an armchair\n",
        "    a chair\n",
        "classes.chair is 'a chair'; it must be a list",
    ),
    "list for keys": (
        "  model: tiny\n  points: 32\n",
        "  - tiny\n",
        "sam is ['tiny']; it must be keys",
    ),
    "key that YAML takes for false": (
        "  chair:\n",
        "  false:\n",
        "classes has the key false; it must be a string: put it in quotes",
    ),
    "folder": ("data/images", "3", "images is 3; it must be the path of a folder"),
    "no folder": ("data/images", "''", "images is ''; it must be the path of a folder"),
    "too few": ("[1, 2, 3]", "[1, 2]", "palette[6][2] is missing"),
    "twice": (
        "threshold: 0.3\n",
        "threshold: 0.3\nthreshold: 0.4\n",
        "line 2: the key 'threshold' is",
    ),
    "twice within": (
        "points: 32",
        "points: 32\n  points: 33",
        "line 6: the key 'points' is given twice",
    ),
    "not YAML": ("threshold: 0.3", "threshold: [0.3", "line"),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_named_in_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    text = str(error.value)
    assert message in text
    assert text.startswith(str(tmp_path / "params.yaml"))
    assert "\n" not in text


class Pair(params.Section):
    low: int
    high: int

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Pair":
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Nested(params.Section):
    pair: Pair


def test_what_does_not_fit_together_is_told_as_the_section_says_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("low: 2\nhigh: 1\npair: {low: 2, high: 1}\n")
    with pytest.raises(UserError, match=r"params\.yaml: low must not be above high$"):
        params.load(Pair, path)
    with pytest.raises(UserError, match=r"params\.yaml: pair: low must not be above high$"):
        params.load(Nested, path)


@pytest.mark.parametrize("text", ["", "- 1\n", "threshold\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="must hold keys with values"):
        load(tmp_path, text)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml is missing"):
        params.load(Params, tmp_path / "nowhere.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        params.load(Params, path)
