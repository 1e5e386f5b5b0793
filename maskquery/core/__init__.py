"""What every room needs: errors, the console, params.yaml, atomic files, locks, threads.

It imports no other room, and no model, pandas or zarr.
"""

try:
    import fcntl  # noqa: F401 - files that are replaced as a whole and locks need it
except ImportError:  # on Windows
    raise ImportError("maskquery runs on Linux, macOS or WSL", name="fcntl") from None
