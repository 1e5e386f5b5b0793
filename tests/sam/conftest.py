from collections.abc import Callable
from typing import Any

import pytest
import torch
from segment_anything.modeling import Sam

from maskquery.sam.settings import Settings
from maskquery.sam.tiny import build_tiny_sam

Make = Callable[..., Settings]


@pytest.fixture(scope="session")
def make() -> Make:
    """Settings that keep every mask of a model without any training, but for those given."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "tier": "exact",
            "points_per_side": 4,
            "points_per_batch": 8,
            "pred_iou_thresh": 0.0,
            "stability_score_thresh": 0.0,
            "stability_score_offset": 1.0,
            "box_nms_thresh": 1.0,
            "crop_n_layers": 0,
            "crop_nms_thresh": 1.0,
            "crop_overlap_ratio": 0.3413333333333333,
            "crop_n_points_downscale_factor": 1,
            "min_mask_region_area": 0,
            "clahe": 0.0,
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture(scope="session")
def sam() -> Sam:
    """The tiny SAM with random weights."""
    torch.manual_seed(0)
    return build_tiny_sam()
