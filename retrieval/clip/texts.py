"""Embeddings of prompts, kept in the side cache: torch is loaded only for a new prompt or model."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval import cache, checkpoints, files

Embeddings = npt.NDArray[np.float32]

VERSION = 1  # raise it when the same prompt and weights give another embedding
DIGEST = 32  # bytes of a sha256


def embeddings(model: str, prompts: Sequence[str]) -> Embeddings:
    """P prompts to (P, D) float32, each of length 1.

    Raises:
        UserError: the checkpoint cannot be had, or a prompt is too long.
    """
    found = {prompt: _read(_cell(model, prompt)) for prompt in prompts}
    new = [prompt for prompt, embedding in found.items() if embedding is None]
    if new:
        for prompt, embedding in zip(new, _encode(model, new), strict=True):
            _write(_cell(model, prompt), embedding)
            found[prompt] = embedding
    return np.stack([embedding for p in prompts if (embedding := found[p]) is not None])


def _encode(model: str, prompts: Sequence[str]) -> Embeddings:
    from retrieval import device
    from retrieval.clip import encoder, loading

    encoder.tokens(prompts)  # a prompt that is too long is refused before the model is loaded
    return encoder.encode_texts(loading.load(model, device.pick()), prompts)


def _cell(model: str, prompt: str) -> Path:
    weights = checkpoints.find("clip", model).sha256
    return cache.cell("texts", cache.key(VERSION, weights, prompt))


def _write(cell: Path, embedding: Embeddings) -> None:
    buffer = io.BytesIO()
    np.save(buffer, embedding, allow_pickle=False)
    content = buffer.getvalue()  # a .npy file; numpy does not mind the digest behind it
    files.write_file(cell, content + hashlib.sha256(content).digest())


def _read(cell: Path) -> Embeddings | None:
    """The cell's embedding, or None if there is none or its bytes are damaged."""
    if not cell.is_file():
        return None
    data = cell.read_bytes()
    content, digest = data[:-DIGEST], data[-DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        return None
    embedding: Embeddings = np.load(io.BytesIO(content), allow_pickle=False)
    return embedding
