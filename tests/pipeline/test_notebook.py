"""The notebook runs from top to bottom on the pipeline's own outputs, and tells their figures."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import yaml
import zarr
from nbclient import NotebookClient

from tests.pipeline.conftest import Made
from tests.support.builders import ROOT

NOTEBOOK = Path("notebooks/retrieval.ipynb")


@pytest.fixture(scope="module")
def outputs(made: Made) -> list[Any]:
    """What each cell of code put out."""
    folder = made.workspace.folder
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    # Started where Jupyter starts a notebook: in its own folder.
    place = {"metadata": {"path": str(folder / NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    return [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]


def printed(outputs: list[Any]) -> str:
    return "".join(each.get("text", "") for cell in outputs for each in cell)


def test_nothing_is_written_to_stderr(outputs: list[Any]) -> None:
    streams = {each["name"] for cell in outputs for each in cell if each["output_type"] == "stream"}
    assert streams == {"stdout"}


def test_it_shows_pictures(outputs: list[Any]) -> None:
    pictures = [each for cell in outputs for each in cell if "image/png" in each.get("data", {})]
    assert len(pictures) >= 5  # the image, its masks, crops, the four pictures, a failure


def test_the_union_is_the_prediction_and_the_iou_the_pipelines(outputs: list[Any]) -> None:
    text = printed(outputs)
    assert "the same as in predictions.zarr: True" in text
    by_hand, by_pipeline = re.findall(r"IoU by hand ([\d.]+), by the pipeline ([\d.]+)", text)[0]
    assert by_hand == by_pipeline


def test_its_mean_iou_is_that_of_the_files(made: Made, outputs: list[Any]) -> None:
    ious = image_ious(made.workspace.folder, "chair")
    assert f"chair: mean IoU {np.mean(ious):.6f} over the {len(ious)} images" in printed(outputs)


def image_ious(folder: Path, name: str) -> list[float]:
    """With zarr and numpy alone: of each image of the test split that shows the class."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    truth, ious = params["ground_truth"], []
    for path in (folder / "data/predictions.zarr").glob("*.zip"):
        shard = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
        for _, group in shard.groups():
            about = group.attrs
            if any(fnmatchcase(about["image"], pattern) for pattern in params["calibration"]):
                continue
            packed = group["masks"][about["classes"].index(name)]
            found = np.unpackbits(packed, axis=-1)[:, : about["width"]] > 0
            labels = np.load(folder / truth["folder"] / f"{about['image']}.npy")
            shown = np.isin(labels, truth["labels"][name])
            if shown.any():
                ious.append((found & shown).sum() / (found | shown).sum())
    return ious


def test_it_is_kept_without_outputs() -> None:
    path = ROOT / NOTEBOOK
    assert path.stat().st_size < 500_000
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
