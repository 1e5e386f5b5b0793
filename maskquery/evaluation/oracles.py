"""The best that any labels could make of the masks there are, on packed bits."""

import numpy as np
import numpy.typing as npt

from maskquery.evaluation.counts import Floats
from maskquery.evaluation.curves import Words, as_words
from maskquery.masks.packed import Packed


def best_union(masks: Packed, true: Packed) -> float:
    """The highest IoU with a region that a union of some of the masks reaches.

    Masks are added one by one, each time the one that raises IoU most; a mask whose removal raises
    IoU is taken out again; until neither helps. Where masks do not overlap, that is the best of all
    unions: none of those chosen and none of those left out is on the wrong side of the IoU reached.
    Where they do, it may be less, and never more, than the best.

    Args:
        masks: (N, H, W8) packed bits.
        true: (H, W8) packed bits, some set.
    """
    words, truth = as_words(masks.reshape(len(masks), true.size)), as_words(true.reshape(1, -1))[0]
    words = words[
        np.bitwise_count(words & truth).any(axis=1)
    ]  # the others only add false positives
    chosen = np.zeros(len(words), np.bool_)
    area, reached = _count(truth), 0.0
    while len(words):
        after = _ious(np.bitwise_or.reduce(words[chosen], axis=0) | words, truth, area)
        for index in np.flatnonzero(chosen).tolist():
            after[index] = _ious(_without(words, chosen, index)[None], truth, area)[0]
        if after.max() <= reached:
            break
        reached, best = float(after.max()), after.argmax()
        chosen[best] = not chosen[best]
    return reached


def _without(words: Words, chosen: npt.NDArray[np.bool_], index: int) -> Words:
    rest = chosen.copy()
    rest[index] = False
    united: Words = np.bitwise_or.reduce(words[rest], axis=0)
    return united


def _ious(unions: Words, truth: Words, area: int) -> Floats:
    """Of each of the unions with the truth, of which `area` pixels are set."""
    tp = np.bitwise_count(unions & truth).sum(axis=1, dtype=np.int64)
    ious: Floats = tp / (np.bitwise_count(unions).sum(axis=1, dtype=np.int64) + area - tp)
    return ious


def _count(words: Words) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))
