"""The stage `masks`, one image at a time: its cell, and what goes into it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from maskquery.images import clahe, image_files, sources
from maskquery.jobs import cache, digests, per_image
from maskquery.masks import mask_store
from maskquery.masks.packed import ImageMasks, Json
from maskquery.models import checkpoints
from maskquery.sam import VERSION
from maskquery.sam.settings import Settings

KIND = "masks"

Pixels = npt.NDArray[np.uint8]


class Work:
    """What `per_image.results` asks about images.

    Args:
        paths: of the images.
        max_pixels: a larger image is refused.
        model: one of `checkpoints.names("sam")`.
        settings: how masks are generated.
    """

    def __init__(
        self, paths: Mapping[str, sources.File], max_pixels: int, model: str, settings: Settings
    ) -> None:
        self._paths, self._max_pixels = paths, max_pixels
        weights = checkpoints.find("sam", model).sha256
        told = cache.without_neutral(settings.model_dump(), clahe=0)
        self._origin = {**told, "model": model, "sha256": weights}
        self._limit = settings.clahe
        self._find = per_image.Once(lambda: load(model, settings))

    def look(self, image: str) -> per_image.Need[tuple[Pixels, str]]:
        """The image's cell, which its name has no part in; its pixels, if there is no cell."""
        path = self._paths[image]
        digest, fetch = digests.look(path, self._max_pixels)
        name = cache.key(KIND, VERSION, digest, self._origin)
        return per_image.Need(
            {KIND: name}, lambda _: (image_files.decode(fetch(), path, self._max_pixels), digest)
        )

    def compute(self, image: tuple[Pixels, str], _: Sequence[str]) -> dict[str, bytes]:
        """The image's masks as the bytes of a cell; see `mask_store.decode`."""
        pixels, digest = image
        masks = self._find()(clahe.equalised(pixels, self._limit))
        origin: dict[str, Json] = {"sam": self._origin, "sha256": digest}
        return {KIND: mask_store.encode(dataclasses.replace(masks, attributes=origin))}


def load(model: str, settings: Settings) -> Callable[[Pixels], ImageMasks]:
    """The generator of masks; imported here, for torch takes seconds and is not always needed."""
    from maskquery.models import device
    from maskquery.sam import generator, loading

    return generator.MaskGenerator(loading.load(model, device.pick()), settings)
