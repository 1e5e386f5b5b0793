"""Masks of an image at the published models' sizes, with random weights.

On the CPU vit_b with 8 x 8 points. What takes longer with more points is scaled to 32 x 32, for
both sides alike: seconds of the encoder + 16 x (seconds of all - seconds of the encoder).

Weights that were never trained predict an IoU near 0 for every mask: the threshold is set to their
median, so that half of the masks pass, and the stability score, which none would pass, is off.
"""

from collections.abc import Iterator

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
from segment_anything.modeling import Sam

from benchmarks import masks, scenes
from benchmarks.measuring import NOT_MEASURED, Row, in_turn, seconds
from retrieval.sam.generator import MaskGenerator
from retrieval.sam.settings import Settings

ROWS = (
    ("cpu", "vit_b", 8, 3, "at least 1.8x"),
    ("cuda", "vit_h", 32, 5, "at least 10x"),
)


def measure() -> Iterator[Row]:
    for device, name, side, repeats, wanted in ROWS:
        against = "upstream's generator, float32"
        work = f"masks, {name} (random weights), {device}, 640x480, 32x32 points"
        if device == "cuda" and not torch.cuda.is_available():
            yield Row(work, against, NOT_MEASURED, wanted)
            continue
        torch.manual_seed(0)
        sam = sam_model_registry[name]().to(device).eval()
        yield compare(sam, Row(work, against, "", wanted), side, repeats)


def compare(sam: Sam, row: Row, side: int, repeats: int) -> Row:
    image = scenes.room(640, 480)
    settings = passing_half(sam, image, side)
    ours = MaskGenerator(sam, settings)
    theirs = SamAutomaticMaskGenerator(sam, **settings.upstream())
    ours(image)
    encoder = float(np.median([seconds(lambda: masks.encode(sam, image)) for _ in range(3)]))
    times = in_turn(lambda: ours(image), lambda: theirs.generate(image), repeats)
    figures = times.figures() | {"points": side**2, "encoder_alone_seconds": round(encoder, 3)}
    scale = (32 / side) ** 2
    scaled = [
        encoder + scale * (float(np.median(own)) - encoder) for own in (times.ours, times.theirs)
    ]
    figures["scaled_to_1024_points_seconds"] = [round(own, 2) for own in scaled]
    return Row(row.work, row.against, f"{scaled[1] / scaled[0]:.1f}x", row.wanted, figures)


def passing_half(sam: Sam, image: scenes.Pixels, side: int) -> Settings:
    """Settings by which half of the masks pass the predicted IoU, and all of these go on."""
    chosen = {"points_per_side": side, "stability_score_thresh": 0.0, "pred_iou_thresh": 0.0}
    settings = scenes.sam_settings().model_copy(update=chosen | {"box_nms_thresh": 1.0})
    median = float(np.median(MaskGenerator(sam, settings)(image).predicted_iou))
    return settings.model_copy(update={"pred_iou_thresh": median, "box_nms_thresh": 0.7})
