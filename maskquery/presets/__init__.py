"""Named sets of params: presets/NAME.yaml holds those keys of params.yaml that make it up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskquery.core import yaml_text
from maskquery.core.errors import UsageError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Those that there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The keys of a preset.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in names():
        raise UsageError(f"there is no preset {name!r}; there are {', '.join(names())}")
    path = FOLDER / f"{name}.yaml"
    keys: dict[str, Any] = yaml_text.parse(path.read_text(encoding="utf-8"), str(path))
    return keys


def apply(document: dict[str, Any], keys: Mapping[str, Any]) -> None:
    """Put keys in place of those of a params.yaml: of a section those that are given, each whole.

    Args:
        document: the contents of params.yaml, changed in place.
        keys: top-level keys, or sections with some of their keys.
    """
    for key, value in keys.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            document[key].update(value)
        else:
            document[key] = value
