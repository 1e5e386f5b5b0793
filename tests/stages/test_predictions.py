import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import yaml

from maskquery.core.errors import UserError
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, unpack
from stages import predictions
from tests.support.builders import NEUTRAL, Bools, random_stack, write_masks, write_scores

ROOT = Path(__file__).parents[2]
CLASSES = ["sofa", "chair"]


class Run:
    """A folder with inputs, and the stage's run on it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        shapes = {"a": (5, 9, 13), "scan/b": (4, 6, 24), "bare": (0, 7, 11), "low": (3, 5, 5)}
        self.masks, self.scores = folder / "masks.zarr", folder / "scores.parquet"
        self.output, self.thresholds = folder / "predictions.zarr", folder / "thresholds.json"
        self.stacks: dict[str, Bools] = {n: random_stack(rng, *s) for n, s in shapes.items()}
        self.made: dict[str, ImageMasks] = write_masks(self.masks, self.stacks)
        self.similarity: dict[str, npt.NDArray[np.float32]] = {
            image: rng.uniform(-1, 1, (len(masks.ids), 2)).astype(np.float32)
            for image, masks in self.made.items()
        }
        self.similarity["low"][:] = -0.5
        self.write_scores()

    def write_scores(self) -> None:
        write_scores(self.scores, self.made, CLASSES, self.similarity)

    def __call__(self, threshold: float | str = 0.1, **changes: Any) -> mask_store.PredictionStore:
        settings = predictions.Params(
            threshold=threshold, selection=NEUTRAL.model_copy(update=changes)
        )
        inputs = (self.masks, self.scores, self.thresholds)
        self.line = predictions.run(*inputs, self.output, settings)
        return mask_store.PredictionStore(self.output)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize("threshold", [-1, -0.3, 0.1, 0.6, 1])
def test_planes_are_what_a_slow_recomputation_from_the_files_gives(
    run: Run, threshold: float
) -> None:
    found = run(threshold)
    rows = pq.read_table(run.scores).to_pylist()
    assert found.images() == sorted(run.stacks)
    for image, stack in run.stacks.items():
        by_id = dict(zip(run.made[image].ids.tolist(), stack, strict=True))
        expected = np.zeros((2, *stack.shape[1:]), bool)
        chosen = [0, 0]
        for row in rows:
            if row["image"] == image and row["similarity"] > np.float32(threshold):
                plane = CLASSES.index(row["class"])
                expected[plane] |= by_id[row["mask_id"]]
                chosen[plane] += 1
        prediction = found.read(image)
        assert prediction.classes == tuple(CLASSES)
        assert (prediction.height, prediction.width) == stack.shape[1:]
        assert (prediction.mask_count, prediction.chosen) == (len(stack), tuple(chosen))
        np.testing.assert_array_equal(unpack(prediction.masks, stack.shape[2]), expected)


def test_an_image_without_masks_and_one_without_a_chosen_mask_have_empty_planes(run: Run) -> None:
    found = run()
    for image, count in (("bare", 0), ("low", 3)):
        prediction = found.read(image)
        assert not prediction.masks.any()
        assert (prediction.mask_count, prediction.chosen) == (count, (0, 0))


def test_masks_and_scores_meet_by_id_and_not_by_position(run: Run) -> None:
    expected = run().read("a").masks
    reordered = {**run.stacks, "a": run.stacks["a"][::-1]}
    write_masks(run.masks, reordered)
    np.testing.assert_array_equal(run().read("a").masks, expected)


def test_the_same_inputs_give_the_same_bytes(run: Run) -> None:
    run()
    first = {path.name: path.read_bytes() for path in run.output.iterdir()}
    run()
    assert {path.name: path.read_bytes() for path in run.output.iterdir()} == first


def test_the_closing_line_says_what_was_made(run: Run) -> None:
    run(0.25)
    assert run.line == "predictions: 4 images, threshold 0.25: sofa, chair"


@pytest.mark.parametrize("image", ["a", "bare"])
def test_masks_of_another_run_are_refused(run: Run, image: str) -> None:
    shape = run.stacks[image].shape[1:]
    other = random_stack(np.random.default_rng(1), 5, *shape)
    write_masks(run.masks, {**run.stacks, image: other})
    with pytest.raises(UserError, match=f"do not hold the same masks of image '{image}'"):
        run()


def test_a_mask_without_scores_is_refused(run: Run) -> None:
    write_masks(run.masks, {**run.stacks, "new": run.stacks["a"]})
    with pytest.raises(UserError, match="do not hold the same masks of image 'new'"):
        run()


def test_scores_of_an_image_that_is_gone_are_refused(run: Run) -> None:
    write_masks(run.masks, {name: stack for name, stack in run.stacks.items() if name != "a"})
    with pytest.raises(UserError, match="do not hold the same masks of image 'a'"):
        run()


def test_a_refusal_leaves_the_old_predictions(run: Run) -> None:
    run()
    before = sorted(run.output.iterdir())
    write_masks(run.masks, {**run.stacks, "new": run.stacks["a"]})
    with pytest.raises(UserError):
        run()
    assert sorted(run.output.iterdir()) == before


def stage(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"stages.{name}"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_at_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Run(tmp_path / "data")
    rest = yaml.safe_dump({"selection": NEUTRAL.model_dump()})
    (tmp_path / "params.yaml").write_text(f"threshold: 0.1\n{rest}")
    done = stage(tmp_path, "predictions")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "predictions: 4 images, threshold 0.1: sofa, chair\n"
    (tmp_path / "params.yaml").write_text(f"threshold: 1.1\n{rest}")
    done = stage(tmp_path, "predictions")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: params.yaml: threshold is 1.1; it must be less than or equal to 1\n"
    )


@pytest.mark.parametrize("name", ["predictions", "metrics", "overlays"])
def test_no_slow_library_is_imported(name: str) -> None:
    slow = {
        "torch",
        "pandas",
        "zarr",
        "tqdm",
        "dvc",
        *(["pyarrow"] if name != "predictions" else []),
    }
    code = f"import stages.{name}, sys; print(*({slow} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
