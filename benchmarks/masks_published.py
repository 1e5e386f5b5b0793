"""Masks of an image at the published models' sizes, with random weights.

On the CPU vit_b in tier `exact`, with 8 x 8 points; on a GPU vit_h in tier `fast`. What takes
longer with more points is scaled to 32 x 32, for both sides alike: seconds of the encoder + 16 x
(seconds of all - seconds of the encoder).

Weights that were never trained predict an IoU near 0 for every mask: the threshold is set to their
median, so that half of the masks pass, and the stability score, which none would pass, is off.
"""

import statistics
from collections.abc import Iterator

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
from segment_anything.modeling import Sam

from benchmarks import scenes
from benchmarks.measuring import NOT_MEASURED, Row, Times, in_turn
from maskquery.sam.encoder import fuse_encoder
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.settings import Settings

REPEATS = 5
ROWS = (
    ("cpu", "vit_b", "exact", 8, "at least 1.8x"),
    ("cuda", "vit_h", "fast", 32, "at least 10x"),
)


def measure() -> Iterator[Row]:
    for device, name, tier, side, target in ROWS:
        against = "upstream's generator, float32"
        work = f"masks, {name} (random weights), {device}, tier {tier}, 640x480, 32x32 points"
        if device == "cuda" and not torch.cuda.is_available():
            yield Row(work, against, NOT_MEASURED, target)
            continue
        torch.manual_seed(0)
        sam = sam_model_registry[name]().to(device).eval()
        yield compare(sam, Row(work, against, "", target), tier, side)


def compare(sam: Sam, row: Row, tier: str, side: int) -> Row:
    image = scenes.room(640, 480)
    settings = passing_half(sam, image, side)
    ours = MaskGenerator(sam, settings.model_copy(update={"tier": tier})).generate
    theirs = SamAutomaticMaskGenerator(sam, **settings.upstream())
    ours(image)
    encoders = encoding(sam, tier)
    times = in_turn(lambda: ours(image), lambda: theirs.generate(image), REPEATS)
    figures = times.figures() | {"points": side**2, "encoders_alone": encoders.figures()}
    scaled = [
        scale_up(statistics.median(whole), statistics.median(alone), (32 / side) ** 2)
        for whole, alone in ((times.ours, encoders.ours), (times.theirs, encoders.theirs))
    ]
    figures["scaled_to_1024_points_seconds"] = [round(value, 2) for value in scaled]
    return Row(row.work, row.against, f"{scaled[1] / scaled[0]:.1f}x", row.target, figures)


def scale_up(whole: float, encoder: float, times: float) -> float:
    """Seconds, if everything but the encoder were done `times` as often."""
    return encoder + times * (whole - encoder)


@torch.inference_mode()
def encoding(sam: Sam, tier: str) -> Times:
    """Both sides' image encoders alone."""
    size = sam.image_encoder.img_size
    pixels = torch.randn(1, 3, size, size, device=sam.device)
    ours = fuse_encoder(sam.image_encoder, bf16=tier == "fast" and sam.device.type == "cuda")
    ours(pixels)
    return in_turn(lambda: ours(pixels), lambda: sam.image_encoder(pixels), 3)


def passing_half(sam: Sam, image: scenes.Pixels, side: int) -> Settings:
    """Settings by which half of the masks pass the predicted IoU, and all of these go on."""
    chosen = {"points_per_side": side, "stability_score_thresh": 0.0, "pred_iou_thresh": 0.0}
    settings = scenes.whole_image_settings().model_copy(update=chosen | {"box_nms_thresh": 1.0})
    median = float(np.median(MaskGenerator(sam, settings).generate(image).predicted_iou))
    return settings.model_copy(update={"pred_iou_thresh": median, "box_nms_thresh": 0.7})
