"""The cache of finished work on images, outside DVC's outputs: no experiment repeats it.

A cell is a file named after everything that decides its contents. Cells are written with
`files.write_file`, whole or not at all, so a stage that was killed goes on where it stopped.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskquery.core.files import user_cache
from maskquery.core.params import PARAMS_FILE


def root() -> Path:
    """The cache's folder: $MASKQUERY_CACHE, else .cache in the project, else the user's own.

    Outside a project, what `find` does is kept in $XDG_CACHE_HOME/maskquery/cells, by default in
    ~/.cache.
    """
    if chosen := os.environ.get("MASKQUERY_CACHE"):
        return Path(chosen).expanduser()
    folder = project()
    return folder / ".cache" if folder else user_cache() / "cells"


def project() -> Path | None:
    """The project: the current folder, if it has a params.yaml; else None.

    While `dvc exp run --temp` works in a copy of the repository it is the project that was copied,
    so that all experiments share one cache: DVC_ROOT is the folder of the original's `.dvc`, and
    the project lies as deep in that as the current folder does in the copy.
    """
    here = Path.cwd()
    if repository := os.environ.get("DVC_ROOT"):
        for folder in (here, *here.parents):
            if (folder / ".dvc").is_dir():
                return Path(repository) / here.relative_to(folder)
        return Path(repository)
    return here if PARAMS_FILE.is_file() else None


def key(*parts: Any) -> str:
    """sha256, in hex, of `parts`, which are JSON values; the order of dict keys does not count."""
    text = json.dumps(parts, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def cell(kind: str, name: str) -> Path:
    """Where the cell named `name`, a `key`, of `kind` ("masks") stands, once it exists."""
    return root() / kind / name[:2] / name[2:]


def without_neutral(settings: Mapping[str, Any], **neutral: Any) -> dict[str, Any]:
    """The settings but for those with their neutral value, which change no byte of a result.

    So that cells keep the names they had before there was such a setting.
    """
    return {
        key: value for key, value in settings.items() if key not in neutral or value != neutral[key]
    }
