"""The two parts of the images: thresholds are chosen on `calibration`, figures reported on `test`.

An image is of the calibration split if its id fits one of the patterns of `calibration` in
params.yaml, and of the test split otherwise; so the two never share an image.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from maskquery.core import params
from maskquery.core.errors import UserError

Patterns = tuple[params.Text, ...]
"""Shell-style patterns of image ids (`room-5*`); none: all images are of the test split."""


def calibration_split(images: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The image ids that fit a pattern, in the order given; there may be none."""
    return [image for image in images if _fits(image, patterns)]


def test_split(images: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The image ids that fit no pattern, in the order given.

    Raises:
        UserError: there are none.
    """
    split = [image for image in images if not _fits(image, patterns)]
    if not split:
        raise UserError(
            f"calibration: every image fits {list(patterns)}, so none is left to report on",
            "name fewer",
        )
    return split


def _fits(image: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(image, pattern) for pattern in patterns)
