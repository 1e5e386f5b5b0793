"""predictions: per class the pixels of the masks above the threshold -> data/predictions.zarr."""

from pathlib import Path

from maskquery.core import console, params
from maskquery.selection.rules import Selection
from maskquery.selection.run import write_predictions
from maskquery.selection.thresholds import Threshold

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
THRESHOLDS = Path("metrics/thresholds.json")
PREDICTIONS = Path("data/predictions.zarr")


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        threshold: a mask is selected for a class if its score is above it.
    """

    threshold: Threshold
    selection: Selection


def run(masks: Path, scores: Path, calibrated: Path, predictions: Path, settings: Params) -> str:
    """Write the store `predictions`; the closing line."""
    return write_predictions(
        masks,
        scores,
        calibrated,
        predictions,
        threshold=settings.threshold,
        selection=settings.selection,
    )


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, THRESHOLDS, PREDICTIONS, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
