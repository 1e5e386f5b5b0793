"""Which rule of `selection` leaves a mask out for a column of scores."""

import numpy as np
import numpy.typing as npt

from maskquery.masks.packed import ImageMasks
from maskquery.scoring.similarity import Floats
from maskquery.selection import rules
from maskquery.selection.rules import Selection

Reasons = npt.NDArray[np.uint8]

NEUTRAL = Selection(
    min_area=0,
    max_area=1,
    at_border=True,
    duplicate_iou=1,
    part_share=1,
    min_region=0,
    exclusive="none",
)
ORDER = ("min_area", "max_area", "at_border", "duplicate_iou", "exclusive", "part_share")
"""In which `maskquery.selection.rules.eligible` applies them."""

_OF_THE_MASK = ("min_area", "max_area", "at_border")
"""What no duplicate is looked for among."""


def left_out(group: ImageMasks, score: Floats, settings: Selection) -> Reasons:
    """Why each mask may not stand for a column: (N, C), 0 if it may, else 1 + its place in `ORDER`.

    What is 0 is what `rules.eligible` gives with all rules at once: each rule looks at what those
    before it left.

    Args:
        group: the image's N masks.
        score: (N, C).
        settings: what leaves masks out.
    """
    remaining, reason = np.ones(score.shape, np.bool_), np.zeros(score.shape, np.uint8)
    for place, key in enumerate(ORDER, start=1):
        value = getattr(settings, key)
        if value == getattr(NEUTRAL, key):
            continue
        changes = {key: value}
        if key == "duplicate_iou":
            changes |= {each: getattr(settings, each) for each in _OF_THE_MASK}
        alone = NEUTRAL.model_copy(update=changes)
        eligible = rules.eligible(group, score, remaining, alone)
        reason[remaining & ~eligible] = place
        remaining = eligible
    return reason


def words(settings: Selection) -> list[str]:
    """What each number of `left_out` means, for a person; the first is ""."""
    return [
        "",
        f"smaller than selection.min_area ({_percent(settings.min_area)} of the image)",
        f"larger than selection.max_area ({_percent(settings.max_area)} of the image)",
        "touches the image's border (selection.at_border: false)",
        "a duplicate of a mask of higher quality: their IoU is above selection.duplicate_iou "
        f"({settings.duplicate_iou:g})",
        "has a higher score for another class (selection.exclusive: masks)",
        "contains a smaller mask with a higher score, more than selection.part_share "
        f"({_percent(settings.part_share)}) of it",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
