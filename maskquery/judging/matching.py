"""Answers about the masks of an earlier run of SAM, carried over to those of the present one."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from maskquery.core import console
from maskquery.judging import judgements
from maskquery.judging.judgements import Judgement
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import ImageMasks, Packed

SAME_IOU = 0.95
"""The least IoU of a judged mask and a mask of today that is taken for it."""


def carry_over(
    answers: Iterable[Judgement], store: MaskStore, classes: Collection[str], name: str
) -> list[Judgement]:
    """The answers about masks and classes that there are, with the ids of today's masks.

    A mask is the judged one if its bytes are the same, or if it is the one with the highest IoU
    and that is at least `SAME_IOU`. How many answers were carried over, and how many are left out
    as their image, mask or class is gone, is told on stderr.

    Args:
        answers: as `judgements.read` returns them.
        store: the masks of today.
        classes: names of the classes.
        name: of the file of the answers, for messages.

    Raises:
        UserError: the store is damaged.
    """
    images = set(store.images())
    gone: dict[str, list[Judgement]] = defaultdict(list)
    by_image: dict[str, list[Judgement]] = defaultdict(list)
    for answer in answers:
        if answer.key.class_ not in classes:
            gone["class"].append(answer)
        elif answer.key.image not in images:
            gone["image"].append(answer)
        else:
            by_image[answer.key.image].append(answer)
    kept: list[Judgement] = []
    moved: list[tuple[Judgement, float]] = []
    for image, group in by_image.items():
        columns = store.columns(image)
        ids = set(columns.ids.tolist())
        size = columns.height, columns.width
        masks: ImageMasks | None = None
        for answer in group:
            if (answer.height, answer.width) != size:
                gone["mask"].append(answer)
                continue
            if answer.key.mask_id in ids:
                kept.append(answer)
                continue
            masks = masks or store.read(image)
            try:
                mask_id, iou = _nearest(answer.mask(), masks)
            except ValueError as error:
                key = answer.key
                console.log(f"{name}: {key.image}#{key.mask_id}, {key.class_}: {error}")
                mask_id, iou = 0, 0.0
            if iou >= SAME_IOU:
                moved.append((replace(answer, key=answer.key._replace(mask_id=mask_id)), iou))
            else:
                gone["mask"].append(answer)
    if moved:
        least = min(iou for _, iou in moved)
        console.log(
            f"{name}: answers about masks that SAM makes a little differently now: {len(moved)}; "
            f"they count for the nearest mask (IoU {least:.3f} and more)"
        )
    for what, left_out in sorted(gone.items()):
        image, mask_id, class_ = left_out[0].key
        console.log(
            f"{name}: answers left out, as the {what} is gone: {len(left_out)} "
            f"({image}#{mask_id}, {class_})"
        )
    return judgements.latest([*kept, *(answer for answer, _ in moved)], name)


def _nearest(mask: Packed, masks: ImageMasks) -> tuple[int, float]:
    """The id of the mask with the highest IoU with `mask`, (H, W8), and that IoU."""
    if not len(masks.ids):
        return 0, 0.0
    both = np.bitwise_count(masks.masks & mask).sum(axis=(1, 2), dtype=np.int64)
    either = np.bitwise_count(masks.masks | mask).sum(axis=(1, 2), dtype=np.int64)
    iou = both / either
    best = int(iou.argmax())
    return int(masks.ids[best]), float(iou[best])
