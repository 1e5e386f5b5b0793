"""CLIP's two encoders: crops and prompts to embeddings of length 1."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from retrieval.clip.crops import MEAN, STD, Cutter, Pixels
from retrieval.clip.openai import CLIP, tokenize
from retrieval.clip.settings import Settings
from retrieval.errors import UserError
from retrieval.masks import Packed

Embeddings = npt.NDArray[np.float32]

CONTEXT = 77  # tokens, with one for the start and one for the end, in every CLIP of OpenAI's
BATCH_PIXELS = 64 * 224 * 224  # bounds the memory of a batch: 64 crops for most of OpenAI's models
CPU_BATCH = 32  # more are not faster, and the next ones' crops are to be cut meanwhile

# The names of a convolution and of the batch norm behind it in the modules of OpenAI's ResNets.
_FOLDED = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))


def resolution(model: CLIP) -> int:
    """R, the side of the model's input, pixels."""
    return int(model.visual.input_resolution)


def dimensions(model: CLIP) -> int:
    """D, the length of an embedding."""
    return int(model.text_projection.shape[1])


def batch_size(model: CLIP) -> int:
    """How many crops to encode at a time."""
    fitting = max(1, BATCH_PIXELS // resolution(model) ** 2)
    return min(fitting, CPU_BATCH) if model.logit_scale.device.type == "cpu" else fitting


def prepare(model: CLIP) -> CLIP:
    """`model` itself, changed so that it encodes images faster, and equally but for rounding.

    Batch norms go into the convolutions before them, whose weights get the layout that fits crops
    as they come, colour by colour of a pixel.
    """
    for module in model.visual.modules():
        for convolution, norm in _FOLDED:
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, fused)
                setattr(module, norm, nn.Identity())
    model.visual.to(memory_format=torch.channels_last)
    return model


def encode_masks(
    model: CLIP, image: Pixels, boxes: npt.NDArray[np.int32], masks: Packed, settings: Settings
) -> Embeddings:
    """The views of N masks of an image; while some are encoded, the next ones are cut.

    A batch holds crops of one view only: which views are asked for does not change the others' by
    a bit.

    Args:
        model: CLIP.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4), x0, y0, x1, y1, half-open.
        masks: (N, H, W8) uint8, packed bits.
        settings: how crops are cut.

    Returns:
        (N, V, D) float32, each of length 1.
    """
    size, cut = batch_size(model), Cutter(image, settings, resolution(model))
    found = np.empty((len(boxes), len(settings.views), dimensions(model)), np.float32)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def begin(start: int) -> list[Future[Pixels]]:
            own = slice(start, start + size)
            return [pool.submit(cut, *job) for job in zip(boxes[own], masks[own], strict=True)]

        cutting = begin(0)
        for start in range(0, len(boxes), size):
            crops = np.stack([future.result() for future in cutting], axis=1)
            cutting = begin(start + size)
            for view, own in enumerate(crops):
                vectors = encode_images(model, own)
                if settings.mirrored:
                    vectors += encode_images(model, np.ascontiguousarray(own[:, :, ::-1]))
                    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                found[start : start + size, view] = vectors
    return found


@torch.inference_mode()
def encode_images(model: CLIP, crops: Pixels) -> Embeddings:
    """(B, R, R, 3) uint8 RGB to (B, D) float32, each of length 1.

    Which crops share a batch changes an embedding by rounding only.
    """
    device = model.logit_scale.device
    pixels = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    return _unit(model.encode_image((pixels - mean) / std))


def encode_stream(model: CLIP, crops: Iterable[Pixels]) -> Iterator[Embeddings]:
    """(R, R, 3) uint8 RGB each to (D,) float32 each; a batch of crops is in memory at a time."""
    crops, size = iter(crops), batch_size(model)
    while batch := list(itertools.islice(crops, size)):
        yield from encode_images(model, np.stack(batch))


@torch.inference_mode()
def encode_texts(model: CLIP, prompts: Sequence[str]) -> Embeddings:
    """P prompts to (P, D) float32, each of length 1; `UserError` as `tokens`."""
    return _unit(model.encode_text(tokens(prompts).to(model.logit_scale.device)))


def tokens(prompts: Sequence[str]) -> Tensor:
    """P prompts to (P, 77) integers.

    Raises:
        UserError: a prompt has more tokens than CLIP reads; none is cut short.
    """
    return torch.cat([_tokens(prompt) for prompt in prompts])


def _tokens(prompt: str) -> Tensor:
    try:
        return tokenize(prompt, CONTEXT)
    except RuntimeError as error:
        raise UserError(
            f"the prompt {prompt!r} is longer than the {CONTEXT} tokens that CLIP reads: shorten it"
        ) from error


def _unit(embeddings: Tensor) -> Embeddings:
    unit: Embeddings = normalize(embeddings.float(), dim=-1).cpu().numpy()
    return unit
