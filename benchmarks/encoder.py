"""The published image encoders alone, with random weights.

On the CPU vit_b in float32, fused attention against upstream's. On a GPU vit_h in bfloat16, as tier
`fast` runs it, against what the GPU reaches in a product of large bfloat16 matrices. Operations are
counted in upstream's encoder: those that another way of computing adds do not count.
"""

from collections.abc import Iterator
from functools import partial

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import NOT_MEASURED, Row, in_turn, share_of_rate
from maskquery.sam.encoder import fuse_encoder

REPEATS = 5
SIDE = 8192  # of the square matrices


def measure() -> Iterator[Row]:
    yield against_upstream(vit("vit_b", "cpu"))
    row = Row(
        "image encoder, vit_h (random weights), cuda, bfloat16",
        f"product of {SIDE} x {SIDE} matrices, bfloat16",
        NOT_MEASURED,
        "at least 60 % of its operations a second",
    )
    yield against_rate(vit("vit_h", "cuda"), row) if torch.cuda.is_available() else row


def vit(name: str, device: str) -> ImageEncoderViT:
    torch.manual_seed(0)
    encoder: ImageEncoderViT = sam_model_registry[name]().image_encoder.to(device).eval()
    return encoder


@torch.inference_mode()
def against_upstream(encoder: ImageEncoderViT) -> Row:
    pixels = torch.randn(1, 3, encoder.img_size, encoder.img_size)
    ours, theirs = partial(fuse_encoder(encoder, bf16=False), pixels), partial(encoder, pixels)
    furthest = float((ours() - theirs()).abs().max())
    times = in_turn(ours, theirs, REPEATS)
    return Row(
        "image encoder, vit_b (random weights), cpu",
        "upstream's encoder",
        f"{times.ratio:.1f}x",
        "above 1x",
        times.figures() | {"largest_difference": furthest},
    )


@torch.inference_mode()
def against_rate(encoder: ImageEncoderViT, row: Row) -> Row:
    pixels = torch.randn(1, 3, encoder.img_size, encoder.img_size, device="cuda")
    with FlopCounterMode(display=False) as counter:
        encoder(pixels)
    matrix = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    ours = partial(fuse_encoder(encoder, bf16=True), pixels)
    return share_of_rate(row, ours, counter.get_total_flops(), matrix, 4 * REPEATS)
