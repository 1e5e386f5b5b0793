"""Embeddings of 100 masks of an image, two views each, against `benchmarks.embedding_loop`.

The tiny model has its shipped weights; ViT-B/32 has random ones, of OpenAI's sizes. Masks are
random blobs. That both sides give the same embeddings is a part of the figures.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from benchmarks import embedding_loop, scenes
from benchmarks.mask_store import blob
from benchmarks.measuring import NOT_MEASURED, Row, in_turn
from retrieval.clip import encoder, loading
from retrieval.clip.openai import CLIP
from retrieval.clip.settings import Settings
from retrieval.masks import ImageMasks, image_masks, pack, unpack

COUNT = 100
REPEATS = 5
SETTINGS = Settings(
    views=("crop", "masked"), crop_padding=0.1, crop_shape="pad", mirrored=False, clahe=0
)


def measure() -> Iterator[Row]:
    for device, wanted in (("cpu", "at least 5x"), ("cuda", "at least 20x")):
        for name in ("tiny", "ViT-B/32"):
            for width, height in ((640, 480), (2000, 1500)):
                work = f"embeddings, {name}, {device}, {width}x{height}, {COUNT} masks"
                row = Row(work, "one by one", NOT_MEASURED, wanted)
                if device == "cuda" and not torch.cuda.is_available():
                    yield row
                else:
                    yield compare(model(name, device), row, scenes.room(width, height))


def compare(clip: CLIP, row: Row, image: scenes.Pixels) -> Row:
    masks = blobs(*image.shape[:2])
    whole, stack = Image.fromarray(image), unpack(masks.masks, masks.width)
    theirs = embedding_loop.embed(clip, whole, stack, masks.boxes)
    prepared = encoder.prepare(model(row.work.split(", ")[1], clip.logit_scale.device.type))
    ours = encoder.encode_masks(prepared, image, masks.boxes, masks.masks, SETTINGS)
    times = in_turn(
        lambda: encoder.encode_masks(prepared, image, masks.boxes, masks.masks, SETTINGS),
        lambda: embedding_loop.embed(clip, whole, stack, masks.boxes),
        REPEATS,
    )
    figures = times.figures() | {"lowest_cosine": float(np.sum(ours * theirs, axis=-1).min())}
    return Row(row.work, row.against, f"{times.ratio:.1f}x", row.wanted, figures)


def model(name: str, device: str) -> CLIP:
    if name == "tiny":
        return loading.load("tiny", torch.device(device))
    torch.manual_seed(0)
    return CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).float().to(device).eval()


def blobs(height: int, width: int) -> ImageMasks:
    rng = np.random.default_rng(0)
    drawn = (blob(rng, height, width) for _ in range(2 * COUNT))
    packed = np.stack([pack(mask) for mask in drawn if mask.any()][:COUNT])
    zeros = np.zeros(COUNT)
    return image_masks(
        "image",
        width,
        packed,
        predicted_iou=zeros,
        stability_score=zeros,
        points=np.zeros((COUNT, 2)),
    )
