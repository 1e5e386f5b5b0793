"""Work whose results are large, for a worker of a cluster."""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.jobs import cache, per_image


def payload(image: str, size: int) -> bytes:
    return random.Random(image).randbytes(size)


@dataclass(frozen=True)
class Bulk:
    """`size` bytes for each image; a line in `log` tells that they are there."""

    size: int
    log: Path
    paths: Mapping[str, Path]

    def look(self, image: str) -> per_image.Need[str]:
        return per_image.Need({"bulk": cache.key("bulk", image)}, lambda _: image)

    def compute(self, image: str, _: Sequence[str]) -> dict[str, bytes]:
        made = payload(image, self.size)
        with self.log.open("a") as log:
            log.write(f"{image} {os.getpid()}\n")
        return {"bulk": made}
