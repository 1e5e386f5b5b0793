"""Work whose results are large, for a worker of a cluster."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.job import CacheRequest


def payload(image: str, size: int) -> bytes:
    return random.Random(image).randbytes(size)


@dataclass(frozen=True)
class Bulk:
    """`size` bytes for each image; a line in `log` tells that they are there."""

    size: int
    log: Path
    kind: str = "bulk"
    threads: int = 2

    @property
    def description(self) -> "Bulk":
        return self

    def open(self) -> "Bulk":
        return self

    def plan(self, image: str, file: File | None) -> CacheRequest[str]:
        return CacheRequest({"bulk": cache.key("bulk", image)}, image)

    def load(self, image: str) -> str:
        return image

    def compute(self, image: str, _: Sequence[str]) -> dict[str, bytes]:
        content = payload(image, self.size)
        with self.log.open("a") as log:
            log.write(f"{image} {os.getpid()}\n")
        return {"bulk": content}
