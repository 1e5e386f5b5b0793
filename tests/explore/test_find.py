"""A text on the page gives the pixels that `maskquery find` gives for it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from maskquery.core import params
from maskquery.explore.settings import Files, Params
from maskquery.explore.workspace import Workspace
from maskquery.finding import find
from maskquery.masks.packed import unpack
from stages import embeddings, masks
from tests.support.builders import ROOT

pytestmark = pytest.mark.slow

ROOM = "room-001"
PROMPTS = ["a red chair", "a lamp", "a submarine"]
CHANGES: dict[str, dict[str, Any]] = {
    "softmax": {},
    "cosine": {
        "threshold": 0.2,
        "scores": {"scoring": "cosine", "templates": ["a photo of {}", "{}"]},
    },
    "average": {"scores": {"prompts": "average", "quality": 0.5}},
    "selected": {
        "selection": {"part_share": 0.5, "duplicate_iou": 0.7, "min_area": 0.002,
                      "exclusive": "masks", "min_region": 0.02},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one room and its masks and embeddings."""
    folder = tmp_path_factory.mktemp("room")
    (folder / "data/rooms/images").mkdir(parents=True)
    shutil.copy(ROOT / f"data/rooms/images/{ROOM}.jpg", folder / "data/rooms/images")
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document |= {"threshold": 0.3}
    document["sam"] |= {"points_per_side": 12}
    (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MASKQUERY_CACHE", str(folder / ".cache"))
        store = Path("data/masks.zarr")
        masks.run(store, Path("metrics/failures.json"), params.load(masks.Params))
        embeddings.run(store, Path("data/embeddings.parquet"), params.load(embeddings.Params))
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_question_gives_the_same_pixels(
    room: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(room)
    monkeypatch.setenv("MASKQUERY_CACHE", str(room / ".cache"))
    original = Path("params.yaml").read_text()
    document = yaml.safe_load(original)
    for section, values in CHANGES[name].items():
        document[section] = document[section] | values if isinstance(values, dict) else values
    predicted = 0
    try:
        Path("params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        with Workspace(Files(), params.load(Params)) as workspace:
            answers = find(f"data/rooms/images/{ROOM}.jpg", PROMPTS)
            threshold = workspace.text_threshold
            assert threshold == document["threshold"]
            for prompt in PROMPTS:
                pixels = page(workspace, (prompt,), threshold)
                wanted = answers[ROOM].union(prompt)
                assert np.array_equal(pixels, wanted), prompt
                predicted += int(wanted.sum())
            both = page(workspace, tuple(PROMPTS[:2]), threshold)
            wanted = answers[ROOM].union(PROMPTS[0]) | answers[ROOM].union(PROMPTS[1])
            assert np.array_equal(both, wanted)
    finally:
        Path("params.yaml").write_text(original)
    assert predicted


def page(workspace: Workspace, text: tuple[str, ...], threshold: float) -> np.ndarray:
    """What the page shows for a text: (H, W) bool."""
    settings = workspace.start.model_copy(update={"text": text})
    scored, (group, planes) = workspace.score(ROOM, settings), workspace.masks(ROOM)
    above = scored.eligible[:, -1] & (scored.score[:, -1] > np.float32(threshold))
    stack = unpack(planes[above], group.width)
    union: np.ndarray = np.any(stack, axis=0)
    return union
