"""Embeddings of prompts, kept in the cache: torch is loaded only for a new prompt or model."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maskquery.jobs import cache
from maskquery.jobs.cells import Cells
from maskquery.models import checkpoints

Embeddings = npt.NDArray[np.float32]

VERSION = 1  # raise it when the same prompt and weights give another embedding


def embeddings(model: str, prompts: Sequence[str]) -> Embeddings:
    """The embeddings of P prompts, from the cache or computed.

    Args:
        model: one of `checkpoints.names("clip")`.
        prompts: as CLIP reads them, templates already applied.

    Returns:
        (P, D) float32, each of length 1.

    Raises:
        UserError: the checkpoint cannot be opened or downloaded, or a prompt is too long.
    """
    cells, weights = Cells("texts"), checkpoints.find("clip", model).sha256
    keys = {prompt: cache.key(VERSION, weights, prompt) for prompt in prompts}
    payloads = cells.read_parts(keys)
    new = [prompt for prompt in keys if prompt not in payloads]
    if new:
        for prompt, embedding in zip(new, _encode(model, new), strict=True):
            payloads[prompt] = _bytes(embedding)
            cells.write(keys[prompt], payloads[prompt])
    return np.stack([np.load(io.BytesIO(payloads[p]), allow_pickle=False) for p in prompts])


def _encode(model: str, prompts: Sequence[str]) -> Embeddings:
    from maskquery.clip import encoder, loading
    from maskquery.models import device

    encoder.tokens(prompts)  # a prompt that is too long is refused before the model is loaded
    return encoder.encode_texts(loading.load(model, device.pick()), prompts)


def _bytes(embedding: Embeddings) -> bytes:
    """As a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, embedding, allow_pickle=False)
    return buffer.getvalue()
