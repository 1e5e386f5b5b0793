"""Work on images that takes the time of a GPU and no processor, for a worker of a cluster."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.jobs import cache, per_image

KIND = "sleeping"


@dataclass(frozen=True)
class Sleeping:
    """`seconds` and a result of `size` bytes for each image."""

    seconds: float
    size: int
    paths: Mapping[str, Path]

    def look(self, image: str) -> per_image.Need[str]:
        return per_image.Need({KIND: cache.key(KIND, image)}, lambda _: image)

    def compute(self, image: str, _: Sequence[str]) -> dict[str, bytes]:
        time.sleep(self.seconds)
        return {KIND: image.encode().ljust(self.size, b"\0")}
