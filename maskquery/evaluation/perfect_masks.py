"""Perfect masks: the objects of the ground truth, as if they were SAM's."""

import numpy as np

from maskquery.evaluation import ground_truth, regions
from maskquery.evaluation.ground_truth import GroundTruth
from maskquery.images import sources
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import ImageMasks, image_masks, pack


def objects_of(
    store: MaskStore, image: str, label_map: sources.File, truth: GroundTruth
) -> ImageMasks:
    """The ground truth's objects as if they were our masks: connected regions of one label.

    Labels of no class have objects, too, which may be taken for one; void and specks have none.
    """
    columns = store.columns(image)
    height, width = columns.height, columns.width
    values = ground_truth.labels_of(label_map, truth, image, height, width)
    masks = [
        pack(mask)
        for value in np.unique(values)
        if value not in truth.ignore
        for mask in regions.regions(values == value)
    ]
    stack = np.array(masks, np.uint8).reshape(-1, height, -(-width // 8))
    sure = np.ones(len(masks))
    return image_masks(
        image,
        width,
        stack,
        predicted_iou=sure,
        stability_score=sure,
        points=np.zeros((len(masks), 2)),
        attributes={
            key: columns.attributes[key]
            for key in ("sha256", "decoded")
            if key in columns.attributes
        },
    )
