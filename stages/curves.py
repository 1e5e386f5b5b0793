"""curves: what every threshold would give on the test split -> metrics/curves.csv.

Exact, and independent of `threshold`. metrics/precision_recall.csv holds precision and recall.
"""

from pathlib import Path

from maskquery.core import console, files, params
from maskquery.evaluation import curve_tables, splits
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.evaluation.scored_masks import image_curves
from maskquery.masks import mask_store
from maskquery.selection.rules import Selection
from maskquery.tables import score_table

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
CURVES = Path("metrics/curves.csv")
PRECISION_RECALL = Path("metrics/precision_recall.csv")


class Params(params.Section):
    """What params.yaml says to this stage."""

    ground_truth: GroundTruth
    calibration: splits.Patterns
    selection: Selection


def run(masks: Path, scores: Path, iou: Path, precision_recall: Path, settings: Params) -> str:
    """Write the tables `iou` and `precision_recall`; the closing line.

    Without ground truth they have no row.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    table = score_table.read(scores)
    curve_tables.expect_names(table.classes)
    with mask_store.MaskStore(masks) as store:
        reported = splits.test_split(store.images(), settings.calibration)
        images = mask_store.shard_order(reported)
        truth, selection = settings.ground_truth, settings.selection
        census = truth.census()
        all_curves = list(image_curves(store, table, images, truth, selection, "curves", census))
    files.write_file(iou, curve_tables.iou_table(all_curves, table.classes).encode())
    files.write_file(
        precision_recall,
        curve_tables.precision_recall_table(all_curves, table.classes).encode(),
    )
    if not all_curves:
        return f"curves: no ground truth in {settings.ground_truth.folder}, so none"
    line = (
        f"curves: {len(all_curves)} images, {len(table.classes)} classes: {iou}, {precision_recall}"
    )
    return line + census.clause()


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, CURVES, PRECISION_RECALL, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
