"""From scores to predictions: a threshold, and unions on packed bits."""

import numpy as np
import numpy.typing as npt

from retrieval.masks import Packed


def select(
    score: npt.NDArray[np.float32], threshold: float | npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which masks show which class: (N, C) float32 to (N, C) bool, where score > threshold.

    A score equal to the threshold is not above it. The threshold, one for all classes or (C,), is
    compared as float32, the type of the scores, so that 0.3 in params.yaml means what 0.3 in
    scores.parquet does.
    """
    return score > np.asarray(threshold, np.float32)


def union(masks: Packed, chosen: npt.NDArray[np.bool_]) -> Packed:
    """The pixels of any chosen mask: (N, H, W8) packed bits and (N,) bool to (H, W8) packed bits.

    Without a chosen mask no pixel is set.
    """
    together: Packed = np.bitwise_or.reduce(masks[chosen], axis=0)
    return together
