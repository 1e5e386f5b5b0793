"""Which preset `find` runs with, what it says of it, and what it will download.

Outside a project it is `photo`, unless the models that were chosen are the demo's. A model of
another family than that of params.yaml, the tiny ones or the published ones, brings the settings
that belong to it: SAM's thresholds, CLIP's views, how scores are made.
"""

from collections.abc import Sequence
from typing import Any

from maskquery import presets
from maskquery.core import console, params
from maskquery.core.errors import UsageError
from maskquery.finding.settings import PACKAGE, Base, Given
from maskquery.models import checkpoints

DEMO, PHOTO = "demo", "photo"
NAMES = (DEMO, PHOTO, "full_size", "report")

FIRST_THRESHOLD = 0.5
"""Of a preset that has none: of relevancy and of a softmax it says "rather this than all else"."""

_SECTIONS = {"sam": ("sam",), "clip": ("clip", "scores")}
"""What belongs to a model."""


def apply(document: dict[str, Any], chosen: str | None, given: Sequence[Given], base: Base) -> str:
    """Put the values of a preset, or of models of another kind, into the contents of a params.yaml.

    Args:
        document: of the base's params.yaml, changed in place.
        chosen: one of `NAMES`; None for the one that suits.
        given: values that will be put in afterwards.
        base: of the project in the current folder, or of the package.

    Returns:
        A line that says what was put, for the user; empty if there is nothing to say.

    Raises:
        UsageError: there is no such preset.
    """
    models = {
        kind: str(each.value) for kind in _SECTIONS for each in given if each.key == f"{kind}.model"
    }
    outside = base is PACKAGE
    if chosen is None and outside:
        chosen = DEMO if models and set(models.values()) == {"tiny"} else PHOTO
    if chosen is not None:
        if outside and chosen in (PHOTO, "full_size"):
            # The package's classes are the demo's furniture, and one must be there: as a negative
            # prompt already is.
            negative = read(chosen)["scores"]["negative_prompts"][0]
            document["classes"] = {negative: [negative]}
        presets.apply(document, read(chosen))
        if not outside or chosen == DEMO:
            return ""
        return f"find: preset {chosen}; `--preset` takes {', '.join(NAMES)}"
    lines = []
    for kind, model in models.items():
        was = document.get(kind, {}).get("model")
        if (was == "tiny") != (model == "tiny"):
            keys = read(DEMO if model == "tiny" else PHOTO)
            values = {key: keys[key] for key in _SECTIONS[kind]}
            if kind == "clip":
                values["threshold"] = keys["threshold"]
            presets.apply(document, values)
            lines.append(
                f"find: {kind}.model {model} brings the settings of the preset "
                f"{DEMO if model == 'tiny' else PHOTO} for {', '.join(values)}"
            )
    return "\n".join(lines)


def read(name: str) -> dict[str, Any]:
    """The keys of a preset; `demo` is what the package brings along.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in NAMES:
        raise UsageError(f"there is no preset {name!r}; there are {', '.join(NAMES)}")
    if name == DEMO:
        document = params.read(PACKAGE.params)
        return {key: document[key] for key in ("threshold", "sam", "clip", "scores", "selection")}
    keys = presets.read(name)
    return keys if "threshold" in keys else {"threshold": FIRST_THRESHOLD, **keys}


def tell(remark: str, sam: str, clip: str) -> None:
    """Say what `apply` says, and which files of what size will be downloaded, and whereto."""
    missing = [
        entry
        for entry in (checkpoints.absent("sam", sam), checkpoints.absent("clip", clip))
        if entry
    ]
    if remark:
        console.log(remark)
    if missing:
        files = " and ".join(f"{entry.file} ({_size(entry)})" for entry in missing)
        console.log(f"find: downloads {files} into {checkpoints.folder()}, once")


def _size(entry: checkpoints.Checkpoint) -> str:
    if entry.size is not None:
        return f"{entry.size / 1e6:.0f} MB"
    return f"about {entry.about} MB" if entry.about else "of a size that the server will say"
