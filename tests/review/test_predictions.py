"""What a review shows where there is no ground truth."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, pack
from maskquery.review import comment, gate, history, panels, predictions
from tests.support.builders import Bools

SIZE = (20, 30)
BASE = "0123456789abcdef"


def write(path: Path, planes: dict[str, dict[str, Bools]]) -> None:
    """A store; planes: (H, W) bool by image and class, a mask for each that is not empty."""
    groups = []
    for image in mask_store.shard_order(planes):
        own = planes[image]
        chosen = tuple(int(plane.any()) for plane in own.values())
        stack = np.stack(list(own.values()))
        groups.append(
            ImagePredictions(
                image,
                *stack.shape[1:],
                tuple(own),
                pack(stack),
                mask_count=3,
                chosen=chosen,
                ids=np.arange(sum(chosen), dtype=np.uint64),
                scores=np.zeros(sum(chosen), np.float32),
            )
        )
    mask_store.PredictionStore.write(path, groups)


def rows(count: int, size: tuple[int, int] = SIZE) -> Bools:
    """The first rows of an image."""
    plane = np.zeros(size, bool)
    plane[:count] = True
    return plane


def test_changes_are_counted_by_class_and_image(tmp_path: Path) -> None:
    write(tmp_path / "before", {
        "a": {"chair": rows(2), "lamp": rows(0)},
        "b": {"chair": rows(5), "lamp": rows(1)},
    })  # fmt: skip
    write(tmp_path / "now", {
        "a": {"chair": rows(2), "lamp": rows(3)},
        "b": {"chair": ~rows(5), "lamp": rows(1)},
        "c": {"chair": rows(1), "lamp": rows(0)},
    })  # fmt: skip
    found = predictions.changes(tmp_path / "before", tmp_path / "now")
    listed = [(c.image, c.class_name, c.masks, c.pixels, c.moved) for c in found]
    assert listed == [
        ("b", "chair", (1, 1), (150, 450), 600),
        ("a", "lamp", (0, 1), (0, 90), 90),
        ("c", "chair", (0, 1), (0, 30), 30),
    ]
    assert [c.share for c in found] == [1.0, 0.15, 0.05]
    assert predictions.by_class(found) == [
        ("chair", 2, [1, 2], [150, 480]),
        ("lamp", 1, [0, 1], [0, 90]),
    ]


def test_the_same_predictions_have_no_change(tmp_path: Path) -> None:
    for name in ("before", "now"):
        write(tmp_path / name, {"a": {"chair": rows(2)}})
    assert predictions.changes(tmp_path / "before", tmp_path / "now") == []


def test_another_size_or_class_is_all_changed(tmp_path: Path) -> None:
    write(tmp_path / "before", {"a": {"chair": rows(2, (10, 30)), "sofa": rows(0, (10, 30))}})
    write(tmp_path / "now", {"a": {"chair": rows(2), "lamp": rows(1)}})
    found = predictions.changes(tmp_path / "before", tmp_path / "now")
    assert [(c.class_name, c.moved) for c in found] == [("chair", 120), ("lamp", 30)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without ground truth, whose base is in `before` and predicted otherwise."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "truth", "metrics", "data"):
        Path(folder).mkdir()
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save("images/a.png")
    truth = {"folder": "truth", "pattern": "{image}.npy", "palette": {}, "ignore": []}
    document = {
        "images": "images",
        "ground_truth": truth | {"labels": {"chair": [1]}},
        "review": {"gate": "tolerance", "tolerance": {}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(document))
    gate.IMAGES.write_text("image,class,iou,tp,fp,fn\n")
    gate.METRICS.write_text('{"images": 1, "masks": 3}')
    write(Path("before"), {"a": {"chair": rows(2)}})
    write(panels.PREDICTIONS, {"a": {"chair": rows(5)}})

    def fetch(_: str, folder: Path) -> Path:
        return Path(shutil.copytree("before", folder / "base", dirs_exist_ok=True))

    def at_base(_: str, path: Path) -> str | None:
        return path.read_text() if path.exists() else None

    monkeypatch.setattr(history, "read", at_base)
    monkeypatch.setattr(history, "difference", lambda *_: {})
    monkeypatch.setattr(gate, "stale_stages", list)
    monkeypatch.setattr(panels, "fetch_predictions", fetch)
    return tmp_path


def test_without_ground_truth_a_review_shows_what_changed(project: Path) -> None:
    path, failures = comment.write(BASE, project / "out")
    text = path.read_text()
    assert failures == []
    assert "| chair | 1 | 1 -> 1 | 60 -> 150 |" in text
    assert "| a | chair | 1 -> 1 | 60 -> 150 | 15.0% |" in text
    (panel,) = (project / "out").glob("*.jpg")
    assert f"Panels, before above and now below: `{panel.name}`" in text


def test_without_ground_truth_and_change_it_says_so(project: Path) -> None:
    shutil.rmtree("before")
    write(Path("before"), {"a": {"chair": rows(5)}})
    text = comment.write(BASE, project / "out")[0].read_text()
    assert "No prediction changed." in text


def test_predictions_that_are_not_here_are_not_taken_for_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "fetch_predictions", lambda *_: None)
    text = comment.write(BASE, project / "out")[0].read_text()
    assert "Not compared: DVC's cache does not hold the base's predictions" in text
    shutil.rmtree(panels.PREDICTIONS)
    text = comment.write(BASE, project / "out")[0].read_text()
    assert "Not compared: data/predictions.zarr is not here" in text
