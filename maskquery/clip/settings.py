"""The parameters of crops and of CLIP, and their ranges."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from maskquery.core.params import Section
from maskquery.images import clahe
from maskquery.models import checkpoints

View = Literal["plain", "crop", "masked", "black", "blurred"]
Shape = Literal["square", "pad", "centre", "model"]


class Settings(Section):
    """How crops are cut and encoded.

    Attributes:
        tier: `exact` computes in float32; `fast` in bfloat16, by torch's autocast, about twice as
            fast on processors with instructions for it, several times slower on others.
        views: at least one of "plain" (the box as it is), "crop" (the box, grown), and the grown
            box with what is outside the mask in CLIP's mean colour ("masked"), in black ("black")
            or blurred ("blurred"); none of them twice.
        crop_padding: how far the box is grown on each side, as a share of its longer side, 0 to 1.
        crop_shape: how the box becomes the square that CLIP takes. "square" grows it to a square
            taken from the image, "pad" fills it up with CLIP's mean colour, "centre" loses the ends
            of the longer side, as CLIP's own transform does, and "model" does what the model's own
            transform does: as "centre", or, for SigLIP and some others, squashed to a square.
        mirrored: true gives each view the mean of its crop's embedding and that of the crop's
            mirror image.
        clahe: clip limit of CLAHE on the image beforehand, see `images.clahe`; 0 is without.
    """

    tier: Literal["exact", "fast"]
    views: Annotated[tuple[View, ...], Field(min_length=1)]
    crop_padding: Annotated[float, Field(ge=0, le=1)]
    crop_shape: Shape
    mirrored: bool
    clahe: clahe.Limit

    @field_validator("views")
    @classmethod
    def _no_view_twice(cls, views: tuple[View, ...]) -> tuple[View, ...]:
        if len(set(views)) < len(views):
            raise ValueError("must name each view once")
        return views


class ClipParams(Settings):
    """The section `clip` of params.yaml: which CLIP, and what it is shown of a mask.

    Attributes:
        model: `tiny` (the demo's), a name of `clip.available_models()`, such as `ViT-B/32`, or
            `openclip:ARCH/TAG` for what `open_clip.list_pretrained()` lists, such as
            `openclip:ViT-B-32-256/datacomp_s34b_b86k`, with `@COMMIT` of the Hub's repository
            behind it to pin one.
    """

    model: Annotated[str, AfterValidator(checkpoints.model_validator("clip"))]
