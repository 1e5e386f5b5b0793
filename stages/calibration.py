"""calibration: the best thresholds on the calibration split -> metrics/thresholds.json.

{"common": the best for all classes together, "classes": {name: the best for that class, drawn
towards the common one}}. A class that no image of the calibration split shows has the common one;
null where there is none. Nothing depends on `threshold`, and the test split is not looked at.
"""

from pathlib import Path

from maskquery.core import console, files, params
from maskquery.evaluation import calibration, splits
from maskquery.evaluation.calibration import Cost, Shrinkage
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.evaluation.scored_masks import image_curves
from maskquery.masks import mask_store
from maskquery.selection.rules import Selection
from maskquery.tables import score_table

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
THRESHOLDS = Path("metrics/thresholds.json")


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        calibration: shell-style patterns of image ids (`room-5*`). Thresholds are chosen on the
            images that fit one; metrics are about all others.
        false_positive_cost: what the image false positive rate of a class costs in mean image IoU
            when its threshold is calibrated; 0 looks at IoU alone.
        threshold_shrinkage: how far a class's calibrated threshold is moved towards the common one;
            0: not at all, 1: all the way.
    """

    ground_truth: GroundTruth
    calibration: splits.Patterns
    selection: Selection
    false_positive_cost: Cost
    threshold_shrinkage: Shrinkage


def run(masks: Path, scores: Path, thresholds: Path, settings: Params) -> str:
    """Write the file `thresholds`; the closing line.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    table = score_table.read(scores)
    with mask_store.MaskStore(masks) as store:
        part = splits.calibration_split(store.images(), settings.calibration)
        images = mask_store.shard_order(part)
        truth, selection = settings.ground_truth, settings.selection
        census = truth.census()
        all_curves = list(
            image_curves(store, table, images, truth, selection, "calibration", census)
        )
    worths = [
        calibration.worth([image[index] for image in all_curves], settings.false_positive_cost)
        for index in range(len(table.classes))
    ]
    common, by_class = calibration.thresholds(worths, settings.threshold_shrinkage)
    document = {"common": common, "classes": dict(zip(table.classes, by_class, strict=True))}
    files.write_json(thresholds, document)
    if not all_curves:
        return "calibration: no image of the calibration split with ground truth, so no threshold"
    line = f"calibration: {len(all_curves)} images, {len(worths)} thresholds, {common} for all"
    return line + census.clause()


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, THRESHOLDS, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
