"""The environment of commands that tests run: nothing of the user's settings is in it."""

import os
import sys
from pathlib import Path

FOREIGN = ("DVC_", "GIT_", "RAY_", "MASKQUERY_", "PYTHON")


def plain() -> dict[str, str]:
    """This process's variables without those that change what our programs do.

    This interpreter is the first `python` on the PATH.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    own = str(Path(sys.executable).parent)
    return kept | {"PATH": os.pathsep.join([own, os.environ["PATH"]])}


def versioned(folder: Path) -> dict[str, str]:
    """What git and DVC need besides in `folder`; their own state is kept beside it."""
    state = str(folder.with_name(f"{folder.name}-state"))
    return {
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": state,
        "DVC_SYSTEM_CONFIG_DIR": state,
        "DVC_SITE_CACHE_DIR": state,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
