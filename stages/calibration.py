"""calibration: the best thresholds on the calibration part -> metrics/thresholds.json.

{"common": the best for all classes together, "classes": {name: the best for that class, drawn
towards the common one}}. A class that no image of the calibration part shows has the common one;
null where there is none. Nothing depends on `threshold`, and the test part is not looked at.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from retrieval import calibration, cli, files, mask_store, params, score_table, splits
from retrieval.curves import Curve
from retrieval.ground_truth import GroundTruth
from retrieval.scored_masks import scored_masks
from retrieval.selection import Selection

MASKS = Path("data/masks.zarr")
SCORES = Path("data/scores.parquet")
THRESHOLDS = Path("metrics/thresholds.json")


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        false_alarm_cost: what a class's false alarm rate costs, in mean image IoU, when its
            threshold is chosen; 0 looks at IoU alone. See `retrieval.calibration.worth`.
        threshold_shrinkage: how far a class's threshold is drawn towards the common one, 0 to 1:
            the best on a few images of a class is not the best on others.
    """

    ground_truth: GroundTruth
    calibration: splits.Patterns
    selection: Selection
    false_alarm_cost: Annotated[float, pydantic.Field(ge=0)]
    threshold_shrinkage: Annotated[float, pydantic.Field(ge=0, le=1)]


def run(masks: Path, scores: Path, thresholds: Path, settings: Params) -> str:
    """Write the file `thresholds`; the closing line.

    Raises:
        UserError: an input is missing or damaged, or does not fit the others.
    """
    table = score_table.read(scores)
    with mask_store.Store(masks) as store:
        part = splits.calibration_part(store.images(), settings.calibration)
        images = mask_store.shard_order(part)
        scored = scored_masks(store, table, images, settings.ground_truth, settings.selection)
        found = [each.curves() for each in cli.progress(scored, len(images), "calibration")]
    worth = [
        calibration.worth([image[index] for image in found], settings.false_alarm_cost)
        for index in range(len(table.classes))
    ]
    common, share = best(calibration.mean(worth)), settings.threshold_shrinkage
    document = {
        "common": common,
        "classes": {
            name: drawn(best(own), common, share)
            for name, own in zip(table.classes, worth, strict=True)
        },
    }
    files.write_file(thresholds, (json.dumps(document, indent=2) + "\n").encode())
    if not found:
        return "calibration: no image of the calibration part with ground truth, so no threshold"
    return f"calibration: {len(found)} images, {len(worth)} thresholds, {common} for all"


def best(worth: Curve) -> float | None:
    """The threshold that is worth most; None where no image shows the class."""
    return None if np.isnan(worth.without) else worth.best()[0]


def drawn(own: float | None, common: float | None, share: float) -> float | None:
    """A class's threshold, moved towards the common one by a share of the way.

    The common one itself for a class that has none of its own, and None if there is no common one.
    """
    if own is None or common is None:
        return common
    return own + share * (common - own)


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, SCORES, THRESHOLDS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
