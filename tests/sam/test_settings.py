from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from maskquery.sam.settings import Settings

Make = Callable[..., Settings]


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("tier", "slow"),
        ("points_per_side", 0),
        ("points_per_side", 32.0),
        ("points_per_batch", 0),
        ("pred_iou_thresh", 1.01),
        ("pred_iou_thresh", float("nan")),
        ("stability_score_thresh", -0.1),
        ("stability_score_offset", -1.0),
        ("box_nms_thresh", 2),
        ("crop_n_layers", -1),
        ("crop_n_layers", 5),
        ("crop_nms_thresh", "0.7"),
        ("crop_overlap_ratio", 1.5),
        ("crop_n_points_downscale_factor", 0),
        ("min_mask_region_area", -1),
        ("point_grids", None),
    ],
)
def test_out_of_range(make: Make, key: str, wrong: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match=key):
        make(**{key: wrong})


def test_every_layer_must_keep_a_point(make: Make) -> None:
    make(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=2)
    with pytest.raises(pydantic.ValidationError, match=r"points_per_side 4 is less than 2\^3"):
        make(points_per_side=4, crop_n_layers=3, crop_n_points_downscale_factor=2)
