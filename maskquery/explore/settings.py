"""What the explorer reads: the pipeline's files and its keys in params.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pydantic

from maskquery.core import params
from maskquery.evaluation import splits
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.scoring import class_embeddings
from maskquery.selection.rules import Selection
from maskquery.selection.thresholds import Threshold

Prompts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]


@dataclass(frozen=True)
class Files:
    """What the pipeline made."""

    masks: Path = Path("data/masks.zarr")
    embeddings: Path = Path("data/embeddings.parquet")
    thresholds: Path = Path("metrics/thresholds.json")
    params: Path = params.PARAMS_FILE


class Params(params.Section):
    """What params.yaml says."""

    threshold: Threshold
    images: params.Folder
    max_pixels: int
    scores: class_embeddings.Settings
    classes: Annotated[dict[params.Text, Prompts], pydantic.Field(min_length=1)]
    selection: Selection
    ground_truth: GroundTruth
    calibration: splits.Patterns
