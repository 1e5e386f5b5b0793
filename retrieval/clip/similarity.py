"""Similarities of masks and classes, from embeddings: numpy alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]


def mask_similarity(
    views: Embeddings, weights: Sequence[float], classes: Sequence[Embeddings]
) -> npt.NDArray[np.float32]:
    """How similar N masks are to C classes, -1 to 1.

    A mask and a prompt: the mean, by the views' weights, of the cosines of the mask's views and the
    prompt. Unlike the cosine of a mean embedding it cannot exceed the best view's. A mask and a
    class: the greatest over the class's prompts, so that a prompt more never hides another.

    Args:
        views: (N, V, D) float32, each of length 1.
        weights: V of them, none negative, not all 0.
        classes: C arrays (P, D) float32, the class's prompts, each of length 1.

    Returns:
        (N, C) float32.
    """
    shares = np.array(weights, np.float32) / np.float32(sum(weights))
    mean = np.einsum("nvd,v->nd", views, shares)  # cosines are linear in it
    columns = [(mean @ prompts.T).max(axis=1) for prompts in classes]
    return np.clip(np.stack(columns, axis=1), -1, 1)
