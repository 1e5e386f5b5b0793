"""What changed in the predictions of two revisions, which needs no ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, mask_areas


@dataclass(frozen=True)
class PredictionChange:
    """One class in one image; a class or an image that a revision lacks has nothing predicted.

    Attributes:
        image: its id.
        class_name: of the class.
        masks: how many were selected, before and now.
        pixels: how many are predicted, before and now.
        moved: how many are predicted in one revision only; all of both if the image's size differs.
        size: of the image now, pixels.
    """

    image: str
    class_name: str
    masks: tuple[int, int]
    pixels: tuple[int, int]
    moved: int
    size: int

    @property
    def share(self) -> float:
        """Of the image's pixels, those that moved."""
        return self.moved / self.size


def changes(before: Path, now: Path) -> list[PredictionChange]:
    """Where predictions or the number of their masks differ, the largest share first.

    Args:
        before: the base's predictions.
        now: today's.

    Raises:
        UserError: a store is missing or damaged.
    """
    changes = []
    with mask_store.PredictionStore(before) as old, mask_store.PredictionStore(now) as new:
        known = set(old.images())
        for image in mask_store.shard_order(new.images()):
            pair = (old.read(image) if image in known else None, new.read(image))
            changes += _of_image(*pair)
    return sorted(changes, key=lambda c: (-c.share, c.image, c.class_name))


def classes_of(store: Path) -> tuple[str, ...]:
    """The classes that predictions are of."""
    with mask_store.PredictionStore(store) as predictions:
        return predictions.read(predictions.images()[0]).classes


def _of_image(old: ImagePredictions | None, new: ImagePredictions) -> list[PredictionChange]:
    result = []
    same_size = old is not None and (old.height, old.width) == (new.height, new.width)
    for name in dict.fromkeys((*new.classes, *(old.classes if old else ()))):
        planes, pixels, masks = [], [], []
        for each in (old, new):
            place = each.classes.index(name) if each and name in each.classes else None
            plane = each.masks[place] if each and place is not None else None
            planes.append(plane)
            pixels.append(0 if plane is None else int(mask_areas(plane)))
            masks.append(each.chosen[place] if each and place is not None else 0)
        moved = sum(pixels)
        if same_size and planes[0] is not None and planes[1] is not None:
            moved = int(mask_areas(planes[0] ^ planes[1]))
        if moved or masks[0] != masks[1]:
            counts = (masks[0], masks[1]), (pixels[0], pixels[1])
            result.append(PredictionChange(new.image, name, *counts, moved, new.height * new.width))
    return result


def by_class(changed: Sequence[PredictionChange]) -> list[tuple[str, int, list[int], list[int]]]:
    """Of each class that changed, by name: in how many images, masks and pixels before and now."""
    names = sorted({change.class_name for change in changed})
    rows = []
    for name in names:
        of_class = [change for change in changed if change.class_name == name]
        masks, pixels = (
            [sum(getattr(change, key)[when] for change in of_class) for when in (0, 1)]
            for key in ("masks", "pixels")
        )
        rows.append((name, len(of_class), masks, pixels))
    return rows
