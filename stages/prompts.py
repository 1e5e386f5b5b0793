"""prompts: do detailed prompts find more than generic ones? -> metrics/prompts.json.

A class's prompts (`classes`: "a chair") are compared with detailed ones (`detailed_prompts`: "a
chair with a seat, a backrest and four legs") that are true of the whole class, so that both are
measured against the same ground truth. What they mean for attributes of single objects ("a red
chair") cannot be said without ground truth of such attributes. Each side has thresholds of its own,
calibrated as those of thresholds.json are (without a calibration split: on the test split), and its
figures are those of the test split. Nothing here touches the predictions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic

from maskquery.core import console, files, params
from maskquery.evaluation import calibration, counts, curves, splits
from maskquery.evaluation.calibration import Cost, Shrinkage
from maskquery.evaluation.curves import ImageCurve
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.evaluation.scored_masks import image_curves
from maskquery.masks import mask_store
from maskquery.masks.mask_store import MaskStore
from maskquery.scoring import mask_embeddings, rescoring
from maskquery.scoring.rescoring import Origin
from maskquery.selection.rules import Selection
from maskquery.tables.score_table import ImageScores, Scores

MASKS = Path("data/masks.zarr")
EMBEDDINGS = Path("data/embeddings.parquet")
SCORES = Path("data/scores.parquet")
PROMPTS = Path("metrics/prompts.json")

SIDES = ("generic", "detailed")

Prompts = Mapping[str, Sequence[str]]
Texts = Annotated[tuple[params.Text, ...], pydantic.Field(min_length=1)]


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        detailed_prompts: detailed prompts to compare with a class's own. No prediction depends on
            them. Names that are no class are left out, so that other classes can be tried without
            an edit here.
    """

    ground_truth: GroundTruth
    calibration: splits.Patterns
    false_positive_cost: Cost
    threshold_shrinkage: Shrinkage
    selection: Selection
    detailed_prompts: dict[params.Text, Texts]


def run(masks: Path, embeddings: Path, scores: Path, output: Path, settings: Params) -> str:
    """Write the file `output`; the closing line. Without ground truth it is empty.

    Raises:
        UserError: an input is missing or damaged, a prompt is too long, or a prompt is new and the
            checkpoint cannot be had.
    """
    origin = rescoring.read_origin(scores)
    known = origin.prompts.keys()
    detailed = {name: texts for name, texts in settings.detailed_prompts.items() if name in known}
    tree: dict[str, Any] = {}
    with mask_store.MaskStore(masks) as store:
        if detailed:
            both = (origin.prompts, {**origin.prompts, **detailed})
            sides = {
                side: evaluate(store, rescore(embeddings, origin, prompts), settings)
                for side, prompts in zip(SIDES, both, strict=True)
            }
            tree = report(sides, list(detailed))
    files.write_json(output, tree)
    return closing_line(tree, [name for name in settings.detailed_prompts if name not in known])


def rescore(embeddings: Path, origin: Origin, prompts: Prompts) -> Scores:
    """All masks' scores with these prompts, made as those of scores.parquet."""
    scorer = origin.scorer(prompts)
    return Scores(
        tuple(prompts),
        {
            stack.image: ImageScores(
                stack.ids,
                *scorer.score(stack.embeddings, stack.predicted_iou, stack.stability_score),
            )
            for stack in mask_embeddings.read(embeddings, origin.crops.views)
        },
    )


def evaluate(store: MaskStore, table: Scores, settings: Params) -> dict[str, dict[str, Any]]:
    """One side's figures of each class that some image of the test split shows."""
    images = mask_store.shard_order(store.images())
    reported = set(splits.test_split(images, settings.calibration))
    parts: dict[bool, list[list[ImageCurve]]] = {True: [], False: []}
    truth, selection = settings.ground_truth, settings.selection
    all_curves = image_curves(store, table, images, truth, selection, "prompts")
    for image, of_image in zip(
        images, all_curves, strict=False
    ):  # without ground truth none is found
        parts[image in reported].append(of_image)
    classes = range(len(table.classes))
    test, other = (
        [[each[index] for each in parts[part]] for index in classes] for part in (True, False)
    )
    thresholds = calibrate(other, settings) or calibrate(test, settings)
    figures = {}
    for name, curves_of, threshold in zip(table.classes, test, thresholds, strict=False):
        iou = curves.mean_image_iou(curves_of)
        if not np.isnan(iou.without):
            figures[name] = {
                "threshold": threshold,
                "mean_image_iou": iou.at(threshold),
                "false_positive_images": false_positive_images(curves_of, threshold),
            }
    return figures


def calibrate(classes: Sequence[Sequence[ImageCurve]], settings: Params) -> list[float]:
    """The threshold of each class that is best on these images; none if they show no class."""
    worths = [calibration.worth(images, settings.false_positive_cost) for images in classes]
    _, by_class = calibration.thresholds(worths, settings.threshold_shrinkage)
    return [threshold for threshold in by_class if threshold is not None]


def false_positive_images(images: Sequence[ImageCurve], threshold: float) -> int:
    """How many images do not show the class and have a mask above the threshold."""
    return sum(
        not each.true and bool((each.scores > np.float32(threshold)).any()) for each in images
    )


def report(sides: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Both sides of each class, and over the classes: the mean IoU, the sum of images with false
    positives.
    """
    shown = [name for name in classes if name in sides[SIDES[0]]]
    if not shown:
        return {}
    overall = {
        side: {
            "mean_image_iou": float(np.mean([sides[side][n]["mean_image_iou"] for n in shown])),
            "false_positive_images": sum(
                sides[side][name]["false_positive_images"] for name in shown
            ),
        }
        for side in SIDES
    }
    by_class = {name: {side: sides[side][name] for side in SIDES} for name in shown}
    return counts.tidy({"overall": overall, "classes": by_class})


def closing_line(tree: Mapping[str, Any], unknown: Sequence[str]) -> str:
    """The means of both sides, and whose detailed prompts are of no use."""
    left_out = f"; detailed_prompts of no class left out: {', '.join(unknown)}" if unknown else ""
    if not tree:
        return f"prompts: nothing to compare{left_out}"
    parts = [f"{side} {tree['overall'][side]['mean_image_iou']:.4f}" for side in SIDES]
    return f"prompts: mean IoU over {len(tree['classes'])} classes: {', '.join(parts)}{left_out}"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, EMBEDDINGS, SCORES, PROMPTS, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
