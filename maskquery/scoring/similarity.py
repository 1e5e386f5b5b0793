"""Similarities of masks and classes, and scores from them, from embeddings: numpy alone.

Computed in float64 and rounded to float32 at the end: sums of float32 depend on the processor's
instructions (AVX2, AVX-512) in the last digit or two, and what was rounded from float64 does not.

Letters of shapes: N masks, V views, C classes, P prompts, K negative prompts, D numbers.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]


def prompt_similarity(
    views: Embeddings, weights: Sequence[float], prompts: Embeddings
) -> npt.NDArray[np.float32]:
    """How similar N masks are to P prompts: (N, P) float32, -1 to 1.

    The mean, by the views' weights, of the cosines of the mask's views and the prompt. Unlike the
    cosine of a mean embedding it cannot exceed the best view's.

    Args:
        views: (N, V, D) float32, each of length 1.
        weights: V of them, none negative, not all 0.
        prompts: (P, D) float32, each of length 1.
    """
    cosines = mean_view(views, weights).astype(np.float64) @ prompts.astype(np.float64).T
    return np.clip(cosines, -1, 1).astype(np.float32)


def mean_view(views: Embeddings, weights: Sequence[float]) -> Embeddings:
    """The weighted mean of the V views of N masks: (N, D) float32, in which cosines are linear.

    Args:
        views: (N, V, D) float32, each of length 1.
        weights: V of them, none negative, not all 0.
    """
    shares = np.array(weights, np.float64) / sum(weights)
    mean = (views * shares[:, None]).sum(axis=1)
    return mean.astype(np.float32)


def mean_direction(embeddings: Embeddings) -> Embeddings:
    """(P, D) embeddings to the (D,) of length 1 that points to their mean, as CLIP's authors do.

    Source: https://github.com/openai/CLIP/blob/main/notebooks/Prompt_Engineering_for_ImageNet.ipynb
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    direction: Embeddings = (mean / np.linalg.norm(mean)).astype(np.float32)
    return direction


def mask_similarity(
    views: Embeddings, weights: Sequence[float], classes: Sequence[Embeddings]
) -> npt.NDArray[np.float32]:
    """How similar N masks are to C classes: (N, C) float32, -1 to 1.

    The greatest `prompt_similarity` over the class's prompts, so that a prompt more never hides
    another.

    Args:
        views: (N, V, D) float32, each of length 1.
        weights: V of them, none negative, not all 0.
        classes: C arrays (P, D) float32, the class's prompts, each of length 1.
    """
    columns = [prompt_similarity(views, weights, prompts).max(axis=1) for prompts in classes]
    return np.stack(columns, axis=1)


def softmax(similarity: Floats, others: Floats, temperature: float) -> Floats:
    """Softmax over a mask's classes and negative prompts: (N, C) float32, 0 to 1.

    It is taken for each mask by itself and never across masks, which could not say "absent".

    Args:
        similarity: (N, C) of the classes.
        others: (N, K) of the negative prompts; K may be 0.
        temperature: similarities are divided by it, above 0; CLIP was trained at 0.01.
    """
    logits = np.concatenate([similarity, others], axis=1, dtype=np.float64) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers[:, : similarity.shape[1]] / powers.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def sigmoid(similarity: Floats, scale: float, bias: float) -> Floats:
    """SigLIP's own similarity: (N, C) cosines to (N, C) float32, 0 to 1; each class by itself.

    Source: Zhai et al. 2023 (https://arxiv.org/abs/2303.15343), algorithm 1.

    >>> sigmoid(np.array([[0.1, 0.2]], np.float32), 100.0, -10.0).round(3).tolist()
    [[0.5, 1.0]]

    Args:
        similarity: (N, C) cosines.
        scale: cosines are multiplied by it; learned.
        bias: added to the product; learned.
    """
    with np.errstate(over="ignore"):  # to a share of 0
        shares: Floats = 1 / (1 + np.exp(-(similarity * np.float32(scale) + np.float32(bias))))
    return shares


def relevancy(similarity: Floats, others: Floats, temperature: float) -> Floats:
    """The least, over the negative prompts, of the softmax of class and prompt: (N, C), 0 to 1.

    Source: LERF, Kerr et al. 2023, section 3.4 (https://arxiv.org/abs/2303.09553), whose
    temperature is 0.1.

    Args:
        similarity: (N, C) of the classes.
        others: (N, K) of the negative prompts, K at least 1.
        temperature: similarities are divided by it, above 0.
    """
    margin = (similarity.astype(np.float64) - others.max(axis=1, keepdims=True)) / temperature
    with np.errstate(over="ignore"):  # to a share of 0
        shares = 1 / (1 + np.exp(-margin))
    return shares.astype(np.float32)


def qualities(
    predicted_iou: Floats, stability_score: Floats, exponent: float
) -> npt.NDArray[np.float32]:
    """How far each of N masks is to be trusted: (N,) float32, 0 to 1; all 1 at exponent 0.

    The product of what SAM says of a mask, each cut to 0 to 1, to the power of `exponent`.

    Source: LangSplat, Qin et al. 2024 (https://arxiv.org/abs/2312.16084), which ranks masks by it.
    """
    trust = np.clip(predicted_iou, 0, 1).astype(np.float64) * np.clip(stability_score, 0, 1)
    result: Floats = (trust**exponent).astype(np.float32)
    return result
