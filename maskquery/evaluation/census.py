"""Labels of no class in the label maps that were read: what is annotated and not evaluated."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from maskquery.evaluation.label_maps import Labels

SHOWN = 5
"""Labels that are listed one by one."""

_MOST = 10_000
"""Labels that are counted one by one: more of them are numbers of objects, say."""

_SPAN = 2**16
"""Labels that lie no farther apart are counted without sorting the pixels."""


class Census:
    """How many pixels have labels of no class; threads may share it.

    Args:
        labels: those of each class.
        ignored: others that are known to be of no class.
    """

    def __init__(self, labels: Mapping[str, Sequence[int]], ignored: Iterable[int] = ()) -> None:
        self._known = {label for each in labels.values() for label in each} | set(ignored)
        self._counts = Counter[int]()
        self._others = 0  # pixels of labels beyond the `_MOST`
        self._pixels = 0
        self._lock = threading.Lock()

    def add(self, labels: Labels) -> None:
        """Count the labels of one map, (H, W)."""
        counts = {key: n for key, n in _counts(labels).items() if key not in self._known}
        with self._lock:
            self._pixels += labels.size
            for label, count in counts.items():
                if label in self._counts or len(self._counts) < _MOST:
                    self._counts[label] += count
                else:
                    self._others += count

    def clause(self) -> str:
        """For the end of a closing line: "; labels of no class: 255 (9.6 %)", or nothing."""
        if not self._counts:
            return ""
        order = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        parts = [f"{label} ({self._share(count)})" for label, count in order[:SHOWN]]
        if rest := order[SHOWN:]:
            pixels = sum(count for _, count in rest) + self._others
            more = "more than " if self._others else ""
            parts.append(f"{more}{len(rest)} others ({self._share(pixels)})")
        return f"; labels of no class: {', '.join(parts)}"

    def _share(self, pixels: int) -> str:
        share = 100 * pixels / self._pixels
        return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def _counts(labels: Labels) -> dict[int, int]:
    """The number of pixels of each label there is."""
    if not labels.size:
        return {}
    low, high = int(labels.min()), int(labels.max())
    if high - low < _SPAN:
        shifted = (labels - labels.dtype.type(low)).astype(np.intp, copy=False)
        counts = np.bincount(shifted.ravel())
        values = np.flatnonzero(counts)
        return dict(zip((values + low).tolist(), counts[values].tolist(), strict=True))
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
