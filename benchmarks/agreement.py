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
from maskquery.images import image_files
from maskquery.masks.packed import Packed, mask_areas, pack
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.settings import Settings

ODD_SIZES = ((1, 1), (300, 1), (1, 300), (1999, 37), (61, 47), (4000, 3000))
UPSTREAM = "upstream's generator"
WANTED = "equal counts, all at 0.99, 99 % at 0.999"


@dataclass
class Agreement:
    """Masks of each image on both sides, and every mask's best IoU."""

    counts: list[tuple[int, int]] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)

    def add(self, ours: Packed, theirs: Packed) -> None:
        self.counts.append((len(ours), len(theirs)))
        for one, other in ((ours, theirs), (theirs, ours)):
            self.ious += [best_iou(mask, other) for mask in one]

    def row(self, work: str, against: str, target: str) -> Row:
        differing = sum(ours != theirs for ours, theirs in self.counts)
        ious = np.array(self.ious or [1.0])
        totals = [int(total) for total in np.sum(self.counts, axis=0)]
        figures = {
            "images": len(self.counts),
            "images_with_another_count": differing,
            "masks": {"ours": totals[0], "theirs": totals[1]},
            "mean_difference_in_count": float(np.mean([abs(a - b) for a, b in self.counts])),
            "lowest_iou": float(ious.min()),
            "mean_iou": float(ious.mean()),
            "share_at_0.99": float(np.mean(ious >= 0.99)),
            "share_at_0.999": float(np.mean(ious >= 0.999)),
            "share_identical": float(np.mean(ious == 1)),
        }
        result = (
            f"{totals[0]} masks for {totals[1]}, {differing} of {len(self.counts)} images differ "
            f"in count; mean IoU {np.mean(ious):.4f}, {np.mean(ious >= 0.99):.2%} at 0.99, "
            f"{np.mean(ious >= 0.999):.2%} at 0.999, {np.mean(ious == 1):.2%} identical"
        )
        return Row(work, against, result, target, figures)


def measure() -> Iterator[Row]:
    sam, settings = scenes.tiny_sam(), scenes.sam_settings()
    exact = MaskGenerator(sam, settings)
    fast = MaskGenerator(sam, settings.model_copy(update={"tier": "fast"}))
    compared = {
        pair: Agreement() for pair in (("exact", UPSTREAM), ("fast", UPSTREAM), ("fast", "exact"))
    }
    for path in scenes.rooms():
        image = image_files.read(path)
        generators = {"exact": exact.generate(image).masks, "fast": fast.generate(image).masks}
        generators[UPSTREAM] = upstream(sam, settings, image)
        for (ours, theirs), agreement in compared.items():
            agreement.add(generators[ours], generators[theirs])
    for (ours, theirs), agreement in compared.items():
        work = f"masks of {len(agreement.counts)} rooms, settings of params.yaml, tier {ours}"
        against = theirs if theirs == UPSTREAM else f"tier {theirs}"
        yield agreement.row(work, against, WANTED if ours == "exact" else "-")
    agreement = Agreement()
    # Few points and small batches, for upstream's memory; thresholds that let every mask pass; no
    # crop layers, for upstream fails on crops of less than a pixel at its model's size.
    every = {"points_per_side": 8, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    loose = scenes.whole_image_settings().model_copy(update=every | {"points_per_batch": 8})
    for width, height in ODD_SIZES:
        image = scenes.room(width, height)
        agreement.add(MaskGenerator(sam, loose).generate(image).masks, upstream(sam, loose, image))
    sizes = ", ".join(f"{width}x{height}" for width, height in ODD_SIZES)
    yield agreement.row(f"masks of a room at {sizes}, thresholds 0", UPSTREAM, WANTED)


def upstream(sam: Sam, settings: Settings, image: scenes.Pixels) -> Packed:
    """(N, H, W8), of upstream's generator."""
    records = SamAutomaticMaskGenerator(sam, **settings.upstream()).generate(image)
    masks = np.array([pack(record["segmentation"]) for record in records], np.uint8)
    return masks.reshape(len(records), image.shape[0], -(-image.shape[1] // 8))


def best_iou(mask: Packed, others: Packed) -> float:
    """Of one mask (H, W8) with any of N; 0 if there is none, 1 for two empty masks."""
    if not len(others):
        return 0.0
    common, union = mask_areas(others & mask), mask_areas(others | mask)
    return float(np.max(np.where(union == 0, 1, common / np.maximum(union, 1))))
