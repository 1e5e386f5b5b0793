"""Masks of an image with the tiny model: upstream's generator, and the model's bare passes.

The image is a room, the weights are the shipped ones and the settings those of params.yaml, but for
the number of points and crop layers. The bare passes are upstream's image encoder, and its prompt
encoder and mask decoder for all points in batches of 64: what upstream would take if everything
around its model were free. How near tier `fast` comes to upstream's masks is
`benchmarks.agreement`'s.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from benchmarks import scenes
from benchmarks.measuring import Row, in_turn, seconds
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.settings import Settings

SIDE = 32  # points
REPEATS = 5
SIZES = ((640, 480, "at least 8x"), (2000, 1500, "at least 50x"))


def measure() -> Iterator[Row]:
    sam = scenes.tiny_sam()
    settings = scenes.whole_image_settings().model_copy(update={"points_per_side": SIDE})
    ours = MaskGenerator(sam, settings).generate
    fast = MaskGenerator(sam, settings.model_copy(update={"tier": "fast"})).generate
    theirs = SamAutomaticMaskGenerator(sam, **settings.upstream())
    theirs.generate(scenes.room(64, 48))
    for width, height, target in SIZES:
        image = scenes.room(width, height)
        find, masks = partial(ours, image), ours(image)
        times = in_turn(find, partial(theirs.generate, image), REPEATS)
        fewer = in_turn(partial(fast, image), find, REPEATS)
        bare = in_turn(find, partial(bare_passes, sam, image, settings), REPEATS)
        figures = times.figures() | {"masks": len(masks.masks)}
        figures["encoder_alone_seconds"] = round(seconds(partial(encode, sam, image)), 4)
        work = f"masks, tiny, {width}x{height}, {SIDE}x{SIDE} points"
        yield Row(work, "upstream's generator", f"{times.ratio:.1f}x", target, figures)
        yield Row(work, "upstream's bare passes", f"{bare.ratio:.1f}x", "above 1x", bare.figures())
        work = work.replace("tiny", "tiny, tier fast")
        yield Row(work, "tier exact", f"{fewer.ratio:.1f}x", "above 1x", fewer.figures())


@torch.inference_mode()
def encode(sam: Sam, image: scenes.Pixels) -> torch.Tensor:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    embedding: torch.Tensor = predictor.get_image_embedding()
    return embedding


@torch.inference_mode()
def bare_passes(sam: Sam, image: scenes.Pixels, settings: Settings) -> None:
    """Nothing but the model: logits of all points at low resolution."""
    embedding = encode(sam, image)
    side = np.linspace(0, sam.image_encoder.img_size - 1, settings.points_per_side)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 1, 2)
    for points in torch.from_numpy(grid).float().split(64):
        labels = torch.ones(points.shape[:2])
        sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
