"""The DVC stages, one short module each, named after what they make."""

import os
import sys

# Else pydantic looks through all installed packages for plugins, at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

try:
    from maskquery.core import parents  # here, where it can be refused in one line
except ImportError as error:
    if error.name != "fcntl":
        raise
    sys.exit(f"error: {error}")

parents.watch_dvc()
