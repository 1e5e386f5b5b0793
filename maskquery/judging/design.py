"""Which mask is asked about next: a stratified random sample, of which any beginning is one.

The masks of a class are divided into strata: bands of their score, and within a band the smaller
and the larger masks. Each answer comes from the stratum that is farthest behind its share of the
answers, and is the first of a random order of the stratum. So whenever a person stops, the answers
of a stratum are a simple random sample without replacement: each of its N masks had the same
probability n / N to be among the n answers, whatever the masks show. A sum over all masks is
estimated without bias by the sum over answers, each counted N / n times,
once each stratum has an answer: the first ten at most see to that.

More is asked where a threshold could lie: the bands next to the threshold are the narrowest, and
have most of the answers. The lowest band is never left out: recall depends on it.

Sources: Cochran 1977, Sampling Techniques, chapters 2 and 5; Horvitz and Thompson 1952,
https://doi.org/10.1080/01621459.1952.10483446. The random order is that of permanent random
numbers: Ohlsson 1995, Coordination of samples using permanent random numbers.

Letters of shapes: M masks of all images.
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Place = tuple[str, int]
"""An image's id and a mask id."""

BANDS = {"high": 0.2, "above": 0.25, "below": 0.25, "low": 0.15, "rest": 0.15}
"""The bands of scores from the highest, and the share of the answers that each of them has."""

SIZES = ("small", "large")

LEAST_ABOVE = 0.05
"""Of all masks: the bands are not narrower than if this share were above the threshold."""


@dataclass(frozen=True)
class Design:
    """The sampling design for one class.

    Attributes:
        masks: the M masks, in the order in which they are asked about within a stratum.
        stratum: (M,) int64, the stratum of each mask, an index of `names`.
        names: the strata, such as "above/small".
        shares: (S,) float64, the share of the answers of each stratum; their sum is 1, and 0 is
            the share of a stratum without masks.
    """

    masks: tuple[Place, ...]
    stratum: Ints
    names: tuple[str, ...]
    shares: Floats

    @property
    def sizes(self) -> Ints:
        """(S,) int64, the number of masks of each stratum."""
        return np.bincount(self.stratum, minlength=len(self.names))

    def probabilities(self) -> Floats:
        """(M,) float64: of many answers, the share that falls on this mask; their sum is 1.

        It compares answers of different designs, such as those before and after a change of the
        threshold. Within one design the strata's numbers of answers are known, and count.
        """
        probabilities: Floats = (self.shares / np.maximum(self.sizes, 1))[self.stratum]
        return probabilities

    def next(self, answered: Collection[Place], skipped: Collection[Place] = ()) -> int | None:
        """Which mask is asked about next.

        Args:
            answered: masks that have an answer; masks that are not in the design do not count.
            skipped: masks that are left out, and do not count as an answer of their stratum.

        Returns:
            An index of `masks`; None if no mask is left.
        """
        is_answered = self._marks(answered)
        is_open = ~(is_answered | self._marks(skipped))
        counts = np.bincount(self.stratum[is_answered], minlength=len(self.names))
        open_counts = np.bincount(self.stratum[is_open], minlength=len(self.names))
        if not open_counts.any():
            return None
        # Huntington and Hill's method: each stratum has one answer before any has two.
        behind = np.where(open_counts > 0, self.shares / np.sqrt(counts * (counts + 1) + 1e-9), -1)
        stratum = int(behind.argmax())
        return int(np.flatnonzero(is_open & (self.stratum == stratum))[0])

    def _marks(self, places: Collection[Place]) -> npt.NDArray[np.bool_]:
        among = frozenset(places)
        return np.fromiter((mask in among for mask in self.masks), bool, len(self.masks))


def design(
    masks: Sequence[Place],
    score: npt.ArrayLike,
    area: npt.ArrayLike,
    threshold: float,
    class_: str,
    seed: str = "",
) -> Design:
    """The sampling design for a class.

    With k masks above the threshold (or `LEAST_ABOVE` of all, if that is more), the bands are, from
    the highest score: the upper and the lower half of the masks above the threshold, the next k,
    the next 3 k, and the rest. Each is divided at its median area.

    Args:
        masks: M different masks, an image's id and a mask id each.
        score: (M,), the scores for the class.
        area: (M,), of the masks, as a share of their images or in pixels.
        threshold: a mask is selected if its score is above it; compared as float32.
        class_: the name of the class: each class has an order of its own.
        seed: two people who answer at the same time take different ones, and are asked about
            mostly different masks; the answers of both together are a sample as those of one are.

    Raises:
        ValueError: the lengths differ, or a mask is given twice.
    """
    scores, areas = np.asarray(score, np.float32), np.asarray(area, np.float64)
    if not len(masks) == len(scores) == len(areas) or len(set(masks)) != len(masks):
        raise ValueError(f"{len(set(masks))} masks, {len(scores)} scores, {len(areas)} areas")
    random = [_random(image, mask_id, class_, seed) for image, mask_id in masks]
    order = np.array(sorted(range(len(masks)), key=random.__getitem__), np.int64)
    bands = _bands(scores, int((scores > np.float32(threshold)).sum()))
    stratum = 2 * bands + _is_large(areas, bands)
    names = tuple(f"{band}/{size}" for band in BANDS for size in SIZES)
    sizes = np.bincount(stratum, minlength=len(names)).reshape(-1, 2)
    # A band's share is divided between small and large as its masks are.
    shares = np.array([*BANDS.values()])[:, None] * sizes / np.maximum(sizes.sum(1), 1)[:, None]
    shares = shares.reshape(-1) / max(shares.sum(), np.finfo(float).tiny)
    return Design(tuple(masks[index] for index in order), stratum[order], names, shares)


def _random(image: str, mask_id: int, class_: str, seed: str) -> bytes:
    """The mask's permanent random number: the same in any set of masks."""
    return hashlib.sha256("\n".join((seed, class_, image, str(mask_id))).encode()).digest()


def _bands(scores: npt.NDArray[np.float32], above: int) -> Ints:
    """The band of each mask, an index of `BANDS`; `above` masks are above the threshold.

    Equal scores may be in two bands, in the order of the masks, but for the threshold's edge.
    """
    count = len(scores)
    width = max(above, math.ceil(LEAST_ABOVE * count), 1)
    edges = [above // 2, above, above + width, above + 4 * width]
    rank = np.empty(count, np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(count)
    return np.searchsorted(edges, rank, side="right").astype(np.int64)


def _is_large(areas: Floats, bands: Ints) -> npt.NDArray[np.bool_]:
    is_large = np.zeros(len(areas), bool)
    for band in np.unique(bands):
        members = bands == band
        is_large[members] = areas[members] > np.median(areas[members])
    return is_large
