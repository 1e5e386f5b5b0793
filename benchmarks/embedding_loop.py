"""The loop that SAM + CLIP code usually has: one crop, one transform, one pass, mask after mask.

The baseline of `benchmarks.embeddings`, with its settings: the box grown by a tenth of its longer
side on each side, on a square of CLIP's mean colour; once as it is, once with the mean colour
outside of the mask.
"""

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from maskquery.clip.openai import CLIP

MEAN = (123, 117, 104)


def embed(
    model: CLIP, image: Image.Image, masks: npt.NDArray[np.bool_], boxes: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """(N, 2, D), each of length 1."""
    from clip.clip import _transform  # here, behind `openai`, which silences its import

    preprocess = _transform(model.visual.input_resolution)
    rows = []
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        window = grow(box, image)
        crop, inside = image.crop(window), Image.fromarray(mask).crop(window)
        masked = Image.composite(crop, Image.new("RGB", crop.size, MEAN), inside)
        for view in (crop, masked):
            batch = preprocess(square(view))[None]
            with torch.no_grad():
                embedding = model.encode_image(batch.to(model.logit_scale.device))[0]
            rows.append((embedding / embedding.norm()).cpu().numpy())
    return np.stack(rows).reshape(len(masks), 2, -1)


def grow(box: list[int], image: Image.Image) -> tuple[int, int, int, int]:
    margin = round(0.1 * max(box[2] - box[0], box[3] - box[1]))
    x0, y0 = max(box[0] - margin, 0), max(box[1] - margin, 0)
    return x0, y0, min(box[2] + margin, image.width), min(box[3] + margin, image.height)


def square(crop: Image.Image) -> Image.Image:
    side = max(crop.size)
    canvas = Image.new("RGB", (side, side), MEAN)
    canvas.paste(crop, ((side - crop.width) // 2, (side - crop.height) // 2))
    return canvas
