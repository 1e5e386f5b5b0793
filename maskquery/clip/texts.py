"""Embeddings of prompts, kept in the cache: torch is loaded only for a new prompt or model."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells
from maskquery.models import checkpoints
from maskquery.models.openclip import is_name

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

    if not is_name(model):
        encoder.tokens(prompts)  # a prompt that is too long is refused before the model is loaded
    return encoder.encode_texts(loading.load(model, device.pick()), prompts)


def sigmoid(model: str) -> tuple[float, float]:
    """Scale and bias of a SigLIP's similarity, see `openclip.OpenClip.sigmoid`.

    Raises:
        UserError: the model has none, or the checkpoint cannot be had.
    """
    cells, weights = Cells("texts"), checkpoints.find("clip", model).sha256
    key = cache.key(VERSION, weights, ["sigmoid"])  # no prompt: those are strings
    payload = cells.read_parts({"sigmoid": key}).get("sigmoid")
    if payload is None:
        payload = _bytes(np.array(_load_sigmoid(model), np.float32))
        cells.write(key, payload)
    scale, bias = np.load(io.BytesIO(payload), allow_pickle=False).tolist()
    return scale, bias


def _load_sigmoid(model: str) -> tuple[float, float]:
    values = None
    if is_name(model):
        from maskquery.clip import loading
        from maskquery.clip.openclip import OpenClip
        from maskquery.models import device

        loaded = loading.load(model, device.pick())
        values = loaded.sigmoid() if isinstance(loaded, OpenClip) else None
    if values is None:
        raise UserError(
            f"scores.scoring: clip.model {model} has no sigmoid of its own",
            "use it with a SigLIP, or choose softmax",
        )
    return values


def _bytes(embedding: Embeddings) -> bytes:
    """As a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, embedding, allow_pickle=False)
    return buffer.getvalue()
