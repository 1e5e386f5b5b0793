"""What holds for all tests."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with a thread for each core would be in each other's way; before torch is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

# A test may be slow on a busy machine without being wrong.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

SLOW = ("pipeline", "robustness")
"""Folders whose tests run DVC, clusters and processes that are killed, slow one by one."""

TOGETHER = ("pipeline", "explore")
"""Folders whose tests share what takes long to make: a workspace that was run, a browser."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow folders, and say which tests one worker of `pytest -n` runs, long ones first."""
    for item in items:
        folder = item.path.parent.name
        if folder in SLOW:
            item.add_marker(pytest.mark.slow)
        group = folder if folder in TOGETHER else f"{folder}/{item.path.name}"
        item.add_marker(pytest.mark.xdist_group(group))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
