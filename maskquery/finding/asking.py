"""What params.yaml says, for prompts of one's own in place of its classes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.selection.thresholds import CALIBRATED, COMMON, Threshold

LOCK = "dvc.lock"
THRESHOLDS = Path("metrics/thresholds.json")
NO_SCORES = np.empty((0, 1), np.float32)


def prompts_of(prompts: str | Sequence[str]) -> list[str]:
    """Each prompt once; an empty one is refused."""
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts or any(not prompt.strip() for prompt in prompts):
        raise UserError("a prompt must not be empty: say what to find, such as 'a red chair'")
    return list(dict.fromkeys(prompts))


def asking(document: Mapping[str, Any], rivals: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The contents of a params.yaml that asks for prompts, each against its own, see `against`.

    `scores.contrast` has the rivals of all prompts.
    """
    chosen = {**document, "classes": {prompt: [prompt] for prompt in rivals}}
    if isinstance(scores := document.get("scores"), dict):
        every = list(dict.fromkeys(text for own in rivals.values() for text in own))
        own_scores = {**scores, "templates": ["{}"], "prompts": "best", "contrast": every}
        chosen["scores"] = own_scores
    if isinstance(selection := document.get("selection"), dict):
        # Of "a chair" and "a red chair" neither excludes the other.
        chosen["selection"] = {**selection, "exclusive": "none"}
    return chosen


def against(document: Mapping[str, Any], prompt: str) -> tuple[str, ...]:
    """What stands against a prompt: `scores.contrast` and the classes that it does not name.

    Other prompts do not, so what is found of one depends on no other.
    """
    scores, classes = document.get("scores"), document.get("classes")
    if not isinstance(scores, dict) or not isinstance(classes, dict):
        return ()  # the document is to be refused in words
    rivals = [(text,) for text in scores.get("contrast") or ()]
    rivals += [(own[0], name, *own) for name, own in classes.items() if own]
    return tuple(dict.fromkeys(own[0] for own in rivals if not names(prompt, own)))


def names(prompt: str, texts: Iterable[Any]) -> bool:
    """Whether a prompt has one of these in it, as whole words: "red chairs" names "a chair"."""
    bare = (re.sub(r"^(an?|the)\s+", "", str(text).strip().lower()) for text in texts)
    return any(re.search(rf"(?<!\w){re.escape(t)}(s|es)?(?!\w)", prompt.lower()) for t in bare)


def threshold_of(document: Mapping[str, Any], base: Path) -> Any:
    """The threshold of a params.yaml, a calibrated one as the number that suits all classes.

    Raises:
        UserError: there is no such number, or it is one of other models or scores.
    """
    rule = document.get("threshold")
    if rule not in (CALIBRATED, COMMON):
        return rule
    calibrated = calibrated_with(base)
    if any(document.get(key) != own for key, own in calibrated.items()):
        raise UserError(
            f"the threshold is {rule}, on other settings of sam, clip or scores than those given: "
            "give a number (--threshold)"
        )
    try:
        (number,) = Threshold(COMMON).resolve(base / THRESHOLDS, ["all"])(NO_SCORES).tolist()
    except UserError as error:
        raise UserError(f"give a number (--threshold), for {error}") from None
    return number


def calibrated_with(base: Path) -> dict[str, Any]:
    """The sections sam, clip and scores of the run that metrics/thresholds.json is from.

    They stand in dvc.lock; params.yaml may have been edited since, and has to do where there is
    none.
    """
    stages = {"sam": "masks", "clip": "embeddings", "scores": "scores"}
    lock = base / LOCK
    if not lock.is_file():
        own = changed(base / params.PARAMS_FILE, {})
        return {key: own.get(key) for key in stages}
    try:
        done = yaml.load(lock.read_bytes(), yaml.CSafeLoader)["stages"]
        name = params.PARAMS_FILE.name
        return {key: done[stage]["params"][name][key] for key, stage in stages.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise UserError(f"{lock} has no whole run of the pipeline: run `dvc repro`") from None


def changed(path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a params.yaml with the values of dotted keys put in."""
    params.load(params.Section, path)  # says in one line what is wrong with the file
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        if key.partition(".")[0] not in document:
            raise UserError(f"{key} is not a known key of {path}")
        place = document
        for name in sections:
            place = place.get(name)  # type: ignore[assignment]
            if not isinstance(place, dict):
                raise UserError(f"{key} is not a known key of {path}")
        place[last] = value
    return document
