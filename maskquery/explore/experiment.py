"""The `dvc exp run` line that makes the page's settings the pipeline's."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from maskquery.core.errors import UserError
from maskquery.explore.scores import Settings
from maskquery.scoring import class_embeddings

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""Names that Hydra, which reads -S for DVC, takes as a part of a key."""


def line(
    classes: Mapping[str, tuple[str, ...]],
    scores: class_embeddings.Settings,
    settings: Settings,
    threshold: float,
) -> str:
    """What to type, quoted for a shell.

    Args:
        classes: what params.yaml holds now; what is the same there is left out.
        scores: likewise.
        settings: the page's.
        threshold: the page's.

    Raises:
        UserError: the line would not do: what to do instead.
    """
    if settings.text:
        raise UserError(
            "a text of no class has no labels to be measured with",
            "add a class under `classes` and "
            "`ground_truth.labels` in params.yaml, or try the text as a prompt of a class",
        )
    changes: list[tuple[str, Any]] = [("threshold", threshold)]
    for name, prompts in settings.classes.items():
        if classes.get(name) != prompts:
            changes.append((f"classes.{name}", prompts))
    if scores.view_weights != settings.scores.view_weights:
        raise UserError("scores.view_weights in params.yaml has changed", "start the explorer anew")
    compares = settings.scores.scoring in ("softmax", "relevancy")
    unused = () if compares else ("negative_prompts", "temperature")
    for key, value in settings.scores:
        if key not in unused and getattr(scores, key) != value:
            changes.append((f"scores.{key}", value))
    return shlex.join(["dvc", "exp", "run", *_overrides(changes)])


def _overrides(changes: Sequence[tuple[str, Any]]) -> list[str]:
    words = []
    for key, value in changes:
        if not all(_KEY.fullmatch(part) for part in key.split(".", 1)):
            raise UserError(f"-S cannot name {key}", "change it in params.yaml")
        words += ["-S", f"{key}={_value(key, value)}"]
    return words


def _value(key: str, value: Any) -> str:
    """In Hydra's grammar."""
    if isinstance(value, tuple):
        return f"[{','.join(_value(key, each) for each in value)}]"
    if not isinstance(value, str):
        return repr(value)
    if "${" in value or value.endswith("\\") or '\\"' in value:
        raise UserError(f"-S cannot say {value!r}", f"write it under {key} in params.yaml")
    return '"' + value.replace('"', '\\"') + '"'
