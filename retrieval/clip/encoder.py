"""CLIP's two encoders: crops and prompts to embeddings of length 1."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from retrieval.clip.crops import MEAN, STD, Pixels
from retrieval.clip.openai import CLIP, tokenize
from retrieval.errors import UserError

Embeddings = npt.NDArray[np.float32]

CONTEXT = 77  # tokens, with one for the start and one for the end, in every CLIP of OpenAI's
BATCH_PIXELS = 64 * 224 * 224  # bounds the memory of a batch: 64 crops for most of OpenAI's models


def resolution(model: CLIP) -> int:
    """R, the side of the model's input, pixels."""
    return int(model.visual.input_resolution)


def dimensions(model: CLIP) -> int:
    """D, the length of an embedding."""
    return int(model.text_projection.shape[1])


def batch_size(model: CLIP) -> int:
    """How many crops to encode at a time."""
    return max(1, BATCH_PIXELS // resolution(model) ** 2)


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
