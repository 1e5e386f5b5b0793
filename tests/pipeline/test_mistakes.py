"""A mistake in params or data ends the run with one line that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.workspace import Workspace

IMAGES = "data/rooms/images"
LABELS = "data/rooms/render_semantic_npy"


def fails(workspace: Workspace, stage: str) -> str:
    """Run the pipeline, which must end at `stage`; its one line without "error: "."""
    done = workspace.try_dvc("repro")
    assert done.code != 0
    assert done.ran[-1] == stage
    assert "Traceback" not in done.output
    assert f"failed to reproduce '{stage}'" in done.output
    (line,) = (line for line in done.output.splitlines() if line.startswith("error: "))
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("changes", "stage", "line"),
    [
        ({"threshold": 1.5}, "predictions", "threshold is 1.5; it must be less than or equal to 1"),
        (
            {"threshold": float("nan")},
            "predictions",
            "threshold is nan; it must be a finite number",
        ),
        ({"sam.model": "huge"}, "masks", "must be one of tiny, vit_b, vit_l, vit_h"),
        ({"classes.chair": [""]}, "scores", "classes.chair[0] is ''; it must not be empty"),
        ({"overlays.class": "throne"}, "overlays", "overlays.class is 'throne'; it must be one of"),
    ],
)
def test_params_that_do_not_fit(
    workspace: Workspace, changes: dict[str, Any], stage: str, line: str
) -> None:
    workspace.set_params(changes)
    assert line in fails(workspace, stage)


def remove_ground_truth(workspace: Workspace) -> str:
    path = first(workspace, LABELS)
    path.unlink()
    return f"image {path.stem!r} has no ground truth: {LABELS}/{path.name} is missing; add it"


def shrink_ground_truth(workspace: Workspace) -> str:
    path = first(workspace, LABELS)
    labels = np.load(path)[:-1]
    np.save(path, labels)
    height, width = labels.shape
    size = f"{width} x {height} pixels and image {path.stem!r} {width} x {height + 1}"
    return f"{LABELS}/{path.name} is {size}"


def truncate_image(workspace: Workspace) -> str:
    path = first(workspace, IMAGES)
    path.write_bytes(path.read_bytes()[:2000])
    return f"{IMAGES}/{path.name} cannot be read as an image"


def second_image_of_a_stem(workspace: Workspace) -> str:
    path = first(workspace, IMAGES)
    path.with_suffix(".png").write_bytes(path.read_bytes())
    both = f"{IMAGES}/{path.name} and {IMAGES}/{path.stem}.png"
    return f"{both} would both be image {path.stem!r}: rename one"


def no_images(workspace: Workspace) -> str:
    for path in workspace.path(IMAGES).iterdir():
        path.unlink()
    return f"{IMAGES} holds no images"


@pytest.mark.parametrize(
    ("mistake", "stage"),
    [
        (remove_ground_truth, "curves"),
        (shrink_ground_truth, "curves"),
        (truncate_image, "masks"),
        (second_image_of_a_stem, "masks"),
        (no_images, "masks"),
    ],
)
def test_data_that_does_not_fit(
    workspace: Workspace, mistake: Callable[[Workspace], str], stage: str
) -> None:
    line = mistake(workspace)
    assert line in fails(workspace, stage)


def first(workspace: Workspace, folder: str) -> Path:
    return min(workspace.path(folder).iterdir())
