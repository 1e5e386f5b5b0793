"""Embeddings of 100 masks of an image, two views each, against `benchmarks.embedding_loop`.

The tiny model has its shipped weights; ViT-B/32 has random ones, of OpenAI's sizes. Masks are
random blobs. How near the embeddings of both sides are is a part of the figures. Against a product
of matrices, cutting is in the seconds and not in the operations.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import embedding_loop, scenes
from benchmarks.mask_store import blob
from benchmarks.measuring import NOT_MEASURED, Row, in_turn, share_of_rate
from maskquery.clip import encoder, loading
from maskquery.clip.openai import CLIP
from maskquery.clip.settings import Settings
from maskquery.masks.packed import ImageMasks, image_masks, pack, unpack

COUNT = 100
REPEATS = 5
SIDE = 2048  # of the square matrices
SETTINGS = Settings(
    tier="exact",
    views=("crop", "masked"),
    crop_padding=0.1,
    crop_shape="pad",
    mirrored=False,
    clahe=0,
)


def measure() -> Iterator[Row]:
    for device, target in (("cpu", "at least 5x"), ("cuda", "at least 20x")):
        available = device == "cpu" or torch.cuda.is_available()
        for name in ("tiny", "ViT-B/32"):
            for tier, width, height in (
                ("exact", 640, 480),
                ("exact", 2000, 1500),
                ("fast", 640, 480),
            ):
                work = f"embeddings, {name}, {device}, tier {tier}, {width}x{height}, {COUNT} masks"
                row = Row(work, "one by one", NOT_MEASURED, target)
                if available:
                    settings = SETTINGS.model_copy(update={"tier": tier})
                    row = compare(name, device, settings, row, scenes.room(width, height))
                yield row
        row = Row(
            f"embeddings, ViT-B/32, {device}, tier exact, 640x480, {COUNT} masks",
            f"product of {SIDE} x {SIDE} matrices, float32",
            NOT_MEASURED,
            "at least 60 % of its operations a second",
        )
        if available:
            row = against_rate("ViT-B/32", device, row, scenes.room(640, 480))
        yield row


def compare(name: str, device: str, settings: Settings, row: Row, image: scenes.Pixels) -> Row:
    clip, prepared = model(name, device), encoder.prepare(model(name, device))
    masks = blobs(*image.shape[:2])
    whole, stack = Image.fromarray(image), unpack(masks.masks, masks.width)
    theirs = embedding_loop.embed(clip, whole, stack, masks.boxes)
    ours = encoder.encode_masks(prepared, image, masks.boxes, masks.masks, settings)
    times = in_turn(
        lambda: encoder.encode_masks(prepared, image, masks.boxes, masks.masks, settings),
        lambda: embedding_loop.embed(clip, whole, stack, masks.boxes),
        REPEATS,
    )
    figures = times.figures() | {"lowest_cosine": float(np.sum(ours * theirs, axis=-1).min())}
    return Row(row.work, row.against, f"{times.ratio:.1f}x", row.target, figures)


def against_rate(name: str, device: str, row: Row, image: scenes.Pixels) -> Row:
    prepared, masks = encoder.prepare(model(name, device)), blobs(*image.shape[:2])
    side = encoder.resolution(prepared)
    with FlopCounterMode(display=False) as counter:
        encoder.encode_images(prepared, np.zeros((1, side, side, 3), np.uint8))
    return share_of_rate(
        row,
        lambda: encoder.encode_masks(prepared, image, masks.boxes, masks.masks, SETTINGS),
        counter.get_total_flops() * COUNT * len(SETTINGS.views),
        torch.randn(SIDE, SIDE, device=device),
        REPEATS,
    )


def model(name: str, device: str) -> CLIP:
    if name == "tiny":
        return loading.load("tiny", torch.device(device))
    torch.manual_seed(0)
    return CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).float().to(device).eval()


def blobs(height: int, width: int) -> ImageMasks:
    rng = np.random.default_rng(0)
    masks = (blob(rng, height, width) for _ in range(2 * COUNT))
    packed = np.stack([pack(mask) for mask in masks if mask.any()][:COUNT])
    zeros = np.zeros(COUNT)
    return image_masks(
        "image",
        width,
        packed,
        predicted_iou=zeros,
        stability_score=zeros,
        points=np.zeros((COUNT, 2)),
    )
