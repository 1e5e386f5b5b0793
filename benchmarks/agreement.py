"""Whether the masks are upstream's: the demo's rooms with its settings, and images of odd sizes.

For every mask of one side the best IoU with any of the other: a mask that one of them lacks counts
with whatever comes nearest, and no image is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from benchmarks import scenes
from benchmarks.measuring import Row
from retrieval import images
from retrieval.masks import Packed, mask_areas, pack
from retrieval.sam.generator import MaskGenerator
from retrieval.sam.settings import Settings

ODD_SIZES = ((1, 1), (300, 1), (1, 300), (1999, 37), (61, 47), (4000, 3000))
WANTED = "equal counts, all at 0.99, 99 % at 0.999"


@dataclass
class Found:
    """Masks of each image on both sides, and every mask's best IoU."""

    counts: list[tuple[int, int]] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)

    def add(self, sam: Sam, settings: Settings, image: scenes.Pixels) -> None:
        ours = MaskGenerator(sam, settings)(image).masks
        records = SamAutomaticMaskGenerator(sam, **settings.upstream()).generate(image)
        theirs = np.array([pack(record["segmentation"]) for record in records], np.uint8)
        theirs = theirs.reshape(len(records), *ours.shape[1:])
        self.counts.append((len(ours), len(theirs)))
        for one, other in ((ours, theirs), (theirs, ours)):
            self.ious += [best_iou(mask, other) for mask in one]

    def row(self, work: str) -> Row:
        differing = sum(ours != theirs for ours, theirs in self.counts)
        ious = np.array(self.ious or [1.0])
        totals = [int(total) for total in np.sum(self.counts, axis=0)]
        figures = {
            "images": len(self.counts),
            "images_with_another_count": differing,
            "masks": {"ours": totals[0], "upstream": totals[1]},
            "lowest_iou": float(ious.min()),
            "mean_iou": float(ious.mean()),
            "share_at_0.99": float(np.mean(ious >= 0.99)),
            "share_at_0.999": float(np.mean(ious >= 0.999)),
            "share_identical": float(np.mean(ious == 1)),
        }
        result = (
            f"{differing} of {len(self.counts)} images differ in count; {np.mean(ious >= 0.99):.2%}"
            f" at 0.99, {np.mean(ious >= 0.999):.2%} at 0.999, {np.mean(ious == 1):.2%} identical"
        )
        return Row(work, "upstream's generator", result, WANTED, figures)


def measure() -> Iterator[Row]:
    sam, settings = scenes.tiny_sam(), scenes.sam_settings()
    found = Found()
    for path in scenes.rooms():
        found.add(sam, settings, images.read(path))
    yield found.row(f"masks of {len(found.counts)} rooms, settings of params.yaml")
    found = Found()
    # Few points and small batches, for upstream's memory; thresholds that let every mask pass.
    every = {"points_per_side": 8, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    loose = settings.model_copy(update=every | {"points_per_batch": 8})
    for width, height in ODD_SIZES:
        found.add(sam, loose, scenes.room(width, height))
    sizes = ", ".join(f"{width}x{height}" for width, height in ODD_SIZES)
    yield found.row(f"masks of a room at {sizes}, thresholds 0")


def best_iou(mask: Packed, others: Packed) -> float:
    """Of one mask (H, W8) with any of N; 0 if there is none, 1 for two empty masks."""
    if not len(others):
        return 0.0
    common, union = mask_areas(others & mask), mask_areas(others | mask)
    return float(np.max(np.where(union == 0, 1, common / np.maximum(union, 1))))
