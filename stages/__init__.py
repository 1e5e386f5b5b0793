"""The DVC stages, one short module each, named after what they make."""

import os

# Else pydantic looks through all installed packages for plugins, at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
