"""The job of the stage `masks`: generate the masks of an image, as a cell of the cache."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import UserError
from maskquery.images import clahe, image_files, sources
from maskquery.jobs import cache, digests
from maskquery.jobs.digests import HashedImage
from maskquery.jobs.job import CacheRequest, Lazy
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, Json
from maskquery.models import checkpoints
from maskquery.sam import VERSION
from maskquery.sam.settings import Settings

KIND = "masks"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Description:
    """The parameters of a `SamJob`.

    Attributes:
        max_pixels: a larger image is refused.
        model: one of `checkpoints.names("sam")`.
        settings: how masks are generated.
    """

    max_pixels: int
    model: str
    settings: Settings

    def open(self) -> "SamJob":
        """Open the job. Its model is loaded when the first image is computed."""
        return SamJob(self)


@dataclass(frozen=True)
class Inputs:
    """A decoded image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        sha256: of the image file, in hex.
        conversions: from the file's samples to pixels; see `images.pixels.conversions`.
    """

    pixels: Pixels
    sha256: str
    conversions: tuple[str, ...]


class SamJob:
    """Generates the masks of an image: a `jobs.job.Job`."""

    kind = KIND
    threads = 2

    def __init__(self, description: Description) -> None:
        self.description = description
        settings, model = description.settings, description.model
        self._origin: dict[str, Any] = {
            **cache.without_neutral(settings.model_dump(), clahe=0),
            "model": model,
            "sha256": checkpoints.find("sam", model).sha256,
        }
        self._generate = Lazy(self._load_model)

    def _load_model(self) -> Callable[[Pixels], ImageMasks]:
        return load(self.description.model, self.description.settings)

    def plan(self, image: str, file: sources.File | None) -> CacheRequest[HashedImage]:
        """The key of the image's cell. The id is no part of it: equal images share a cell."""
        if file is None:
            raise UserError(f"the image {image!r} has no file", "run `dvc repro`")
        source = digests.hash_image(file, self.description.max_pixels)
        # Images without conversions keep the keys of versions that had none.
        conversions = filter(None, [source.header.conversions])
        key = cache.key(KIND, VERSION, source.sha256, self._origin, *conversions)
        return CacheRequest({KIND: key}, source)

    def load(self, source: HashedImage) -> Inputs:
        """Decode the image."""
        pixels = image_files.decode(source.read(), source.file, self.description.max_pixels)
        return Inputs(pixels, source.sha256, source.header.conversions)

    def compute(self, inputs: Inputs, _: Sequence[str]) -> Mapping[str, bytes]:
        """Generate the image's masks, encoded by `mask_store.encode`."""
        masks = self._generate()(clahe.equalise(inputs.pixels, self.description.settings.clahe))
        origin: dict[str, Json] = {"sam": self._origin, "sha256": inputs.sha256}
        if inputs.conversions:
            origin["decoded"] = list(inputs.conversions)
        return {KIND: mask_store.encode(dataclasses.replace(masks, attributes=origin))}


def load(model: str, settings: Settings) -> Callable[[Pixels], ImageMasks]:
    """A function that generates the masks of an image. Torch is imported here: it takes seconds."""
    from maskquery.models import device
    from maskquery.sam import generator, loading

    return generator.MaskGenerator(loading.load(model, device.pick()), settings).generate
