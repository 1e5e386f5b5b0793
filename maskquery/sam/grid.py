"""Coarse to fine: which points of a grid tier `fast` decodes.

First every second point of every second row. A point between these is worth decoding where they
disagree: if it lies in the same of the masks found so far as all the decoded points around it, and
in one at least, it would most likely give one of these masks once more.

What is lost are things that lie between four decoded points and inside a mask that is around them.
"""

from itertools import product

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def coarse(side: int) -> Bools:
    """Of a grid of `side` x `side` points, row by row, those to decode first: (side^2,)."""
    even = np.arange(side) % 2 == 0
    return (even[:, None] & even).ravel()


def uncertain(covers: Bools) -> Bools:
    """Which points to decode after the coarse ones.

    Args:
        covers: (M, S^2), whether each of the masks found so far covers each point.

    Returns:
        (S^2,), false for the coarse ones.
    """
    side = round(covers.shape[1] ** 0.5)
    first = coarse(side).reshape(side, side)
    own = covers.reshape(-1, side, side)
    found = ~own.any(axis=0)
    around = np.pad(own, ((0, 0), (1, 1), (1, 1)))
    decoded = np.pad(first, 1)
    for y, x in product(range(3), repeat=2):
        part = np.s_[y : y + side, x : x + side]
        found |= decoded[part] & (around[:, *part] != own).any(axis=0)
    return (found & ~first).ravel()
