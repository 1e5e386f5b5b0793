"""The params that `find` runs with: of the project here or the package's own, and those given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic

from maskquery.clip.settings import ClipParams
from maskquery.core import params, yaml_text
from maskquery.core.errors import RERUN, UsageError, UserError
from maskquery.jobs.stats import OnError
from maskquery.sam.settings import SamParams
from maskquery.scoring import class_embeddings
from maskquery.scoring.run import Classes
from maskquery.selection.rules import Selection
from maskquery.selection.thresholds import COMMON, Threshold


class Params(params.Section):
    """What params.yaml says to `find`."""

    threshold: Threshold
    images: params.Folder
    max_pixels: Annotated[int, pydantic.Field(ge=1)]
    on_error: OnError
    sam: SamParams
    clip: ClipParams
    scores: class_embeddings.Settings
    classes: Classes
    selection: Selection


REPLACED = {
    "images": "the image or folder is named after the command",
    "classes": "prompts are named after the image or folder",
    "scores.templates": "a prompt is taken as it is",
    "scores.prompts": "a prompt is taken as it is",
    "selection.exclusive": "a mask may be of several prompts",
}
"""Keys that `find` gives values of its own, and why nobody else can."""


@dataclass(frozen=True)
class Base:
    """Where values come from that are not given.

    Attributes:
        params: a params.yaml.
        thresholds: a thresholds.json that was calibrated with it.
        lock: the dvc.lock of the run that calibrated; None where it was that params.yaml for sure.
    """

    params: Path
    thresholds: Path
    lock: Path | None


PROJECT = Base(params.PARAMS_FILE, Path("metrics/thresholds.json"), Path("dvc.lock"))

_HERE = Path(__file__).parent
PACKAGE = Base(_HERE / "params.yaml", _HERE / "thresholds.json", None)
"""What the package brings along: params.yaml of the project that it is from, and its threshold."""


@dataclass(frozen=True)
class Given:
    """A value in place of one of params.yaml.

    Attributes:
        key: with dots between its parts, "sam.model".
        value: as params.yaml would have it.
        place: where it was given, for messages: "--sam".
    """

    key: str
    value: Any
    place: str


def base_here() -> Base:
    """The project in the current folder; the package where there is none.

    Raises:
        UserError: params.yaml in the current folder cannot be read, or is some other program's.
    """
    if not PROJECT.params.is_file():
        return PACKAGE
    expected = ("sam", "clip", "scores")
    if not set(expected) & params.read(PROJECT.params).keys():
        raise UserError(
            f"{PROJECT.params} in this folder is another program's ({', '.join(expected)} are not "
            "in it)",
            "run in another folder",
        )
    return PROJECT


def expect_known(values: Sequence[Given]) -> None:
    """Refuse keys that `find` does not read, and keys that are given twice.

    Raises:
        UsageError: naming the first of them.
    """
    readable = [key for key in params.keys(Params) if key not in REPLACED]
    for each in values:
        if each.key.partition(".")[0] not in {*readable, *REPLACED}:
            raise UsageError(
                f"{each.place}: {each.key} is not a key that find reads ({', '.join(readable)})"
            )
        for key, why in REPLACED.items():
            if _is_within(each.key, key):
                raise UsageError(f"{each.place}: {each.key} does nothing in find: {why}")
    for number, each in enumerate(values):
        for before in values[:number]:
            if _is_within(each.key, before.key) or _is_within(before.key, each.key):
                places = dict.fromkeys([before.place, each.place])
                raise UsageError(f"{' and '.join(places)}: {each.key} is given twice")


def put_in(document: dict[str, Any], values: Sequence[Given]) -> dict[str, Any]:
    """The contents of a params.yaml, changed in place, with what was given.

    Raises:
        UsageError: there is no such key.
    """
    for each in values:
        *sections, last = each.key.split(".")
        place: Any = document
        for name in sections:
            place = place.get(name)
            if not isinstance(place, dict):
                raise UsageError(f"{each.place}: {each.key} is not a known key")
        place[last] = each.value
    return document


def validate(document: Mapping[str, Any], values: Sequence[Given], base: Base) -> Params:
    """The values to run with.

    Raises:
        UsageError: a value that was given does not fit.
        UserError: one of the base's does not.
    """
    try:
        checked = params.parse(Params, document)
    except params.ParamsError as error:
        raise _blame(str(error), [error.key], values, base) from None
    try:
        class_embeddings.in_order(checked.scores.view_weights, checked.clip.views)
    except UserError as error:
        keys = ["scores.view_weights", "clip.views"]
        raise _blame(str(error), keys, values, base) from None
    return checked


def _blame(text: str, keys: Sequence[str], values: Sequence[Given], base: Base) -> UserError:
    """What is wrong with a key, and where its value comes from."""
    for each in values:
        if any(_is_within(key, each.key) or _is_within(each.key, key) for key in keys):
            return UsageError(f"{each.place}: {text}")
    return UserError(f"{base.params}: {text}")


def _is_within(key: str, section: str) -> bool:
    """Whether a dotted key is a section, or a key in it: "a.b.c" is within "a.b"."""
    parts, outer = (re.split(r"[.\[]", each) for each in (key, section))
    return parts[: len(outer)] == outer


def threshold_of(document: Mapping[str, Any], base: Base) -> Any:
    """The threshold of a params.yaml, a calibrated one as the number that suits all classes.

    Raises:
        UserError: there is no such number, or it is one of other models or scores.
    """
    rule = document.get("threshold")
    try:
        is_from_file = Threshold.parse(rule).is_from_file
    except ValueError:
        return rule  # to be refused with the other values
    if not is_from_file:
        return rule
    remedy = "give a number (--threshold)"
    if any(document.get(key) != value for key, value in settings_of_calibration(base).items()):
        raise UserError(
            f"the threshold is {rule}, on other settings of sam, clip or scores than those given",
            remedy,
        )
    try:
        return Threshold(COMMON).by_class(base.thresholds, ["all"])["all"]
    except UserError as error:
        raise UserError(error.problem, f"{remedy}, or {error.remedy}") from None
    except KeyError:
        raise UserError(f"{base.thresholds} has no threshold for all classes", remedy) from None


def settings_of_calibration(base: Base) -> dict[str, Any]:
    """The sections sam, clip and scores of the run that thresholds.json is from.

    They stand in dvc.lock; params.yaml may have been edited since, and has to do where there is
    none.
    """
    stages = {"sam": "masks", "clip": "embeddings", "scores": "scores"}
    if base.lock is None or not base.lock.is_file():
        document = params.read(base.params)
        return {key: document.get(key) for key in stages}
    try:
        text = base.lock.read_text(encoding="utf-8")
        runs = yaml_text.parse(text, str(base.lock))["stages"]
        name = params.PARAMS_FILE.name
        return {key: runs[stage]["params"][name][key] for key, stage in stages.items()}
    except (OSError, UserError, UnicodeDecodeError, KeyError, TypeError):
        raise UserError(f"{base.lock} has no whole run of the pipeline", RERUN) from None
