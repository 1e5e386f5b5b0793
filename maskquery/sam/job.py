"""The stage `masks`, one image at a time: its cell, and what goes into it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskquery.images import clahe, image_files, sources
from maskquery.jobs import cache, digests, per_image
from maskquery.masks import mask_store
from maskquery.masks.packed import image_masks
from maskquery.models import checkpoints
from maskquery.sam import VERSION
from maskquery.sam.settings import Settings

KIND = "masks"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """What the masks of an image are computed from.

    Attributes:
        pixels: (H, W, 3) RGB.
        digest: sha256 of the image's bytes.
        decoded: by which conversions the pixels came of them; see `images.pixels.conversions`.
    """

    pixels: Pixels
    digest: str
    decoded: tuple[str, ...]


class Work:
    """What `per_image.results` asks about images.

    Args:
        paths: of the images.
        max_pixels: a larger image is refused.
        model: one of `checkpoints.names("sam")`.
        settings: how masks are generated.

    Attributes:
        turned: images looked at whose EXIF orientation is 2, 3 or 4, which keeps their size.
    """

    def __init__(
        self, paths: Mapping[str, sources.File], max_pixels: int, model: str, settings: Settings
    ) -> None:
        self._paths, self._max_pixels = paths, max_pixels
        weights = checkpoints.find("sam", model).sha256
        told = cache.without_neutral(settings.model_dump(), clahe=0)
        self._origin = {**told, "model": model, "sha256": weights}
        self._limit = settings.clahe
        self.turned: set[str] = set()
        self._find = per_image.Once(lambda: load(model, settings))

    def look(self, image: str) -> per_image.Need[Inputs]:
        """The image's cell, which its name has no part in; its pixels, if there is no cell."""
        path = self._paths[image]
        looked = digests.look(path, self._max_pixels)
        if looked.header.orientation in (2, 3, 4):
            self.turned.add(image)
        decoded = looked.header.conversions  # with those of before, results have other names
        name = cache.key(KIND, VERSION, looked.digest, self._origin, *filter(None, [decoded]))

        def load(_: Sequence[str]) -> Inputs:
            pixels = image_files.decode(looked.fetch(), path, self._max_pixels)
            return Inputs(pixels, looked.digest, decoded)

        return per_image.Need({KIND: name}, load)

    def compute(self, image: Inputs, _: Sequence[str]) -> dict[str, bytes]:
        """The image's masks as a store of their own; see `mask_store.decode`."""
        found = self._find()(clahe.equalised(image.pixels, self._limit))
        attributes: dict[str, Any] = {"sam": self._origin, "sha256": image.digest}
        if image.decoded:
            attributes["decoded"] = list(image.decoded)
        width = image.pixels.shape[1]
        made = image_masks("image", width, **vars(found), attributes=attributes)
        return {KIND: mask_store.encode(made)}


def load(model: str, settings: Settings) -> Callable[[Pixels], Any]:
    """The generator of masks; imported here, for torch takes seconds and is not always needed."""
    from maskquery.models import device
    from maskquery.sam import generator, loading

    return generator.MaskGenerator(loading.load(model, device.pick()), settings)
