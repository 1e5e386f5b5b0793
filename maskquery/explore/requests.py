"""What the page may ask the server, and how much of it at once."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Self

import pydantic
from pydantic import AfterValidator, Field

from maskquery.core.params import Section
from maskquery.explore.scores import Line, Settings

MAX_RESULTS = 200
"""Results of a search, and images of one request for curves."""

MAX_IDS = 1000
"""Letters of an image's id."""

MAX_PLACE = 120
"""Letters of a place in a message: names in a request may be long."""

ImageId = Annotated[str, Field(min_length=1, max_length=MAX_IDS)]


def _mask_id(text: str) -> str:
    if int(text) >= 2**64:
        raise ValueError("is no mask id, which has 64 bits")
    return text


MaskId = Annotated[str, Field(pattern=r"^[0-9]{1,20}$"), AfterValidator(_mask_id)]
"""As text, since JavaScript's numbers have 53 bits."""


class ImageQuery(Section):
    """An image; `version` is there for the browser's cache alone."""

    image: ImageId
    version: Annotated[str, Field(max_length=64)] = ""


class MaskQuery(ImageQuery):
    """A mask of an image."""

    mask: MaskId


class ScoresRequest(Section):
    """The scores of an image's masks."""

    image: ImageId
    settings: Settings


class CurvesRequest(Section):
    """One column's curves of some images."""

    images: Annotated[tuple[ImageId, ...], Field(max_length=MAX_RESULTS)]
    column: Annotated[int, Field(ge=0)]
    settings: Settings

    @pydantic.model_validator(mode="after")
    def _column_exists(self) -> Self:
        if self.column >= len(self.settings.columns):
            raise ValueError(f"there is no column {self.column}")
        return self


class SearchRequest(Section):
    """By a text, or by a mask of an image."""

    text: Line | None
    image: ImageId | None
    mask: MaskId | None
    count: Annotated[int, Field(ge=1, le=MAX_RESULTS)]

    @pydantic.model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.text is None) == (self.image is None or self.mask is None):
            raise ValueError("search for a text or for a mask of an image")
        return self


class ExperimentRequest(Section):
    """The line for a shell."""

    settings: Settings
    threshold: Annotated[float, Field(ge=-1, le=1)]


def sentence(errors: Sequence[Any]) -> str:
    """The first of pydantic's errors in one line: where it is and what is allowed."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("query", "[key]")]
    place = ".".join(itertools.islice(parts, 4))
    place = place if len(place) <= MAX_PLACE else f"{place[:MAX_PLACE]}…"
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}".removeprefix(": ")
