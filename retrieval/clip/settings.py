"""What CLIP is shown of a mask: names of the views and of the crops' shapes, and their ranges."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from retrieval.params import Section

View = Literal["crop", "masked", "blurred"]
Shape = Literal["square", "pad", "centre"]


class Settings(Section):
    """How crops are cut.

    Attributes:
        views: at least one of "crop" (the box as it is), "masked" (CLIP's mean colour outside the
            mask) and "blurred" (blurred outside the mask), none of them twice.
        crop_padding: how far the box is grown on each side, as a share of its longer side, 0 to 1.
        crop_shape: how the box becomes the square that CLIP takes. "square" grows it to a square
            taken from the image, "pad" fills it up with CLIP's mean colour, "centre" loses the ends
            of the longer side, as CLIP's own transform does.
    """

    views: Annotated[tuple[View, ...], Field(min_length=1)]
    crop_padding: Annotated[float, Field(ge=0, le=1)]
    crop_shape: Shape

    @field_validator("views")
    @classmethod
    def _no_view_twice(cls, views: tuple[View, ...]) -> tuple[View, ...]:
        if len(set(views)) < len(views):
            raise ValueError("must name each view once")
        return views
