"""Which points of the grid tier `fast` decodes: every second one, then those that are uncertain.

The coarse points are every second point of every second row. A point between them is skipped if it
lies in at least one mask, and in the same masks as all coarse points around it: it would most
likely prompt one of these masks again.

Lost is an object that lies between four coarse points and inside a mask that covers all of them.
"""

from itertools import product

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def coarse_points(side: int) -> Bools:
    """Which points of a grid are decoded first: (side^2,) bool, row by row.

    >>> coarse_points(3).reshape(3, 3).astype(int)
    array([[1, 0, 1],
           [0, 0, 0],
           [1, 0, 1]])
    """
    even = np.arange(side) % 2 == 0
    return (even[:, None] & even).ravel()


def uncertain_points(covers: Bools) -> Bools:
    """Which points are decoded after the coarse ones.

    >>> left = np.array([[1, 1, 0, 0, 0]] * 5, bool)  # one mask, of the left two columns
    >>> uncertain_points(left.reshape(1, 25)).reshape(5, 5).astype(int)
    array([[0, 1, 0, 1, 0],
           [0, 1, 1, 1, 1],
           [0, 1, 0, 1, 0],
           [0, 1, 1, 1, 1],
           [0, 1, 0, 1, 0]])

    Args:
        covers: (M, S^2) bool, whether each mask of the coarse points covers each point.

    Returns:
        (S^2,) bool, false for the coarse points.
    """
    side = round(covers.shape[1] ** 0.5)
    coarse = coarse_points(side).reshape(side, side)
    at_point = covers.reshape(-1, side, side)
    uncertain = ~at_point.any(axis=0)
    at_neighbour = np.pad(at_point, ((0, 0), (1, 1), (1, 1)))
    is_coarse = np.pad(coarse, 1)
    for y, x in product(range(3), repeat=2):
        shift = np.s_[y : y + side, x : x + side]
        uncertain |= is_coarse[shift] & (at_neighbour[:, *shift] != at_point).any(axis=0)
    return (uncertain & ~coarse).ravel()
