"""Masks of an image by MobileSAM and by vit_b, our generator for both, random weights, on the CPU.

Processor seconds of all threads, both in turn, so that others' load counts little. With 8 x 8
points; what takes longer with more points is scaled to 32 x 32 as in `masks_published`, as are the
thresholds chosen.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from benchmarks import scenes
from benchmarks.masks_published import passing_half, scale_up
from benchmarks.measuring import Row, Times
from maskquery.sam.encoder import fuse_encoder
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.mobile import build_mobile_sam

REPEATS = 3
SIDE = 8


def measure() -> Iterator[Row]:
    torch.manual_seed(0)
    models = build_mobile_sam(), sam_model_registry["vit_b"]().eval()
    whole = in_turn(*(generating(sam) for sam in models))
    alone = in_turn(*(encoding(sam) for sam in models))
    times = (32 / SIDE) ** 2
    ours, theirs = (
        scale_up(statistics.median(all_), statistics.median(encoder), times)
        for all_, encoder in ((whole.ours, alone.ours), (whole.theirs, alone.theirs))
    )
    figures = whole.figures() | {
        "points": SIDE**2,
        "encoders_alone": alone.figures(),
        "scaled_to_1024_points_seconds": [round(ours, 2), round(theirs, 2)],
    }
    work = "masks, MobileSAM (random weights), cpu, tier exact, 640x480, 32x32 points"
    yield Row(work, "vit_b, processor seconds", f"{theirs / ours:.1f}x", "less time", figures)


def generating(sam: Sam) -> Callable[[], object]:
    image = scenes.room(640, 480)
    generator = MaskGenerator(sam, passing_half(sam, image, SIDE))
    return lambda: generator.generate(image)


def encoding(sam: Sam) -> Callable[[], object]:
    pixels = torch.randn(1, 3, 1024, 1024)
    encode = fuse_encoder(sam.image_encoder, bf16=False)
    return torch.inference_mode()(lambda: encode(pixels))


def in_turn(ours: Callable[[], object], theirs: Callable[[], object]) -> Times:
    ours(), theirs()
    times = Times([], [])
    for _ in range(REPEATS):
        times.theirs.append(processor_seconds(theirs))
        times.ours.append(processor_seconds(ours))
    return times


def processor_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start
