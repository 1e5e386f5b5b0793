"""Whether a change of the mean image IoU is more than chance: a paired bootstrap over images.

Images are drawn with replacement, the same for both revisions, and the difference (now minus base)
is taken of each draw: the middle 95 % of the differences are the interval. As both revisions are
measured on the same images, what makes an image hard drops out (Efron and Tibshirani 1993, An
Introduction to the Bootstrap, chapters 13 and 16). The draws are the same every time.

Letters of shapes: I images, C classes.
"""

from dataclasses import dataclass

import numpy as np

from maskquery.evaluation import bootstrap
from maskquery.evaluation.bootstrap import Interval
from maskquery.evaluation.counts import Floats, ratio
from maskquery.review import changes

MEAN = "mean_image_iou"


@dataclass(frozen=True)
class Difference:
    """How far the mean image IoU moved, over the images that both revisions have.

    Attributes:
        name: of the metric: `mean_image_iou`, or `classes.NAME.mean_image_iou`.
        images: how many show the class; of the mean, how many show some class.
        change: now minus base.
        interval: `low` and `high`; None below `bootstrap.LEAST_IMAGES` images.
    """

    name: str
    images: int
    change: float
    interval: Interval | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.interval is not None and (self.interval["low"] > 0 or self.interval["high"] < 0)

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.change:+.3f}"
        return f"{self.change:+.3f} ({self.interval['low']:+.3f} to {self.interval['high']:+.3f})"


def differences(before: str, now: str) -> list[Difference]:
    """Of the mean over the classes, then of each class; none without an image that both have.

    Args:
        before: metrics/images.csv of the base: image, class, iou.
        now: the same file of the change.
    """
    old, new = changes.ious(before), changes.ious(now)
    both = [key for key in old if key in new]
    if not both:
        return []
    images = {image: row for row, image in enumerate(sorted({image for image, _ in both}))}
    classes = {name: place for place, name in enumerate(dict.fromkeys(name for _, name in both))}
    moved, shown = np.zeros((2, len(images), len(classes)))  # (I, C)
    for image, name in both:
        cell = images[image], classes[name]
        moved[cell], shown[cell] = new[image, name] - old[image, name], 1
    samples = np.concatenate(
        [ratio(draw @ moved, draw @ shown) for draw in bootstrap.draws(len(images))]
    )
    counts = shown.sum(axis=0).astype(int)
    means = ratio(moved.sum(axis=0), counts)
    named = [
        _difference(f"classes.{name}.{MEAN}", int(counts[place]), means[place], samples[:, place])
        for name, place in classes.items()
    ]
    mean = _difference(MEAN, len(images), means.mean(), bootstrap.row_means(samples))
    return [mean, *named]


def _difference(name: str, images: int, change: float, samples: Floats) -> Difference:
    interval = bootstrap.middle(samples) if images >= bootstrap.LEAST_IMAGES else None
    return Difference(name, images, float(change), interval)
