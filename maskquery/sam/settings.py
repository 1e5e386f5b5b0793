"""The settings of automatic mask generation, by upstream's names, and their ranges."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from maskquery.core.params import Section
from maskquery.images import clahe
from maskquery.models import checkpoints

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Section):
    """The settings of `SamAutomaticMaskGenerator`, whose docstring says more about each.

    Only `tier` and `clahe` are this project's.

    Attributes:
        tier: `exact` gives upstream's masks, up to rounding. `fast` trades some of them for time:
            it leaves out points that would most likely find a mask again, and encodes images in
            bfloat16 on CUDA.
        points_per_side: points along each side of the grid of prompts, at least 1.
        points_per_batch: points decoded at a time, at least 1; it costs memory, and changes nothing
            beyond rounding.
        pred_iou_thresh: a mask's predicted IoU must be above it, 0 to 1; 0 keeps every mask.
        stability_score_thresh: a mask's stability score must reach it, 0 to 1.
        stability_score_offset: how far the cut-off of the logits is moved both ways for the
            stability score, at least 0.
        box_nms_thresh: of two masks whose boxes have an IoU above it the worse is dropped, 0 to 1.
        crop_n_layers: layer i cuts the image into 2^i x 2^i crops and generates masks in each;
            0 to 4, with 0 for the whole image only.
        crop_nms_thresh: as `box_nms_thresh`, between crops.
        crop_overlap_ratio: overlap of the first layer's crops as a share of the image's shorter
            side, 0 to 1.
        crop_n_points_downscale_factor: layer i has `points_per_side` divided by this to the power
            of i; at least 1, and at least one point must be left.
        min_mask_region_area: smaller holes and islands of a mask are removed, pixels, at least 0.
        clahe: clip limit of CLAHE on the image beforehand, see `images.clahe`; 0 is without.
    """

    tier: Literal["exact", "fast"]
    points_per_side: Annotated[int, Field(ge=1)]
    points_per_batch: Annotated[int, Field(ge=1)]
    pred_iou_thresh: Share
    stability_score_thresh: Share
    stability_score_offset: Annotated[float, Field(ge=0)]
    box_nms_thresh: Share
    crop_n_layers: Annotated[int, Field(ge=0, le=4)]
    crop_nms_thresh: Share
    crop_overlap_ratio: Share
    crop_n_points_downscale_factor: Annotated[int, Field(ge=1)]
    min_mask_region_area: Annotated[int, Field(ge=0)]
    clahe: clahe.Limit

    @field_validator("crop_n_points_downscale_factor")
    @classmethod
    def _leaves_a_point(cls, factor: int, info: ValidationInfo) -> int:
        points, layers = info.data.get("points_per_side"), info.data.get("crop_n_layers")
        if points is not None and layers is not None and points < factor**layers:
            raise ValueError(
                f"must leave a point: points_per_side {points} is less than {factor}^{layers}"
            )
        return factor

    def upstream(self) -> dict[str, Any]:
        """The arguments of `SamAutomaticMaskGenerator`, by name."""
        ours = ("tier", "clahe")
        return {name: getattr(self, name) for name in Settings.model_fields if name not in ours}


class SamParams(Settings):
    """The section `sam` of params.yaml: which SAM, and how it generates masks.

    Attributes:
        model: `tiny` (the demo's), `mobile` (MobileSAM), `vit_b`, `vit_l` or `vit_h`.
    """

    model: Annotated[str, AfterValidator(checkpoints.model_validator("sam"))]
