"""A job that takes the time of a GPU and no processor, in this process or on a cluster."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.job import CacheRequest

KIND = "sleeping"


@dataclass(frozen=True)
class Sleeping:
    """`seconds` and a result of `size` bytes for each image; a description and a job in one."""

    seconds: float
    size: int
    kind: str = KIND
    threads: int = 2

    @property
    def description(self) -> "Sleeping":
        """The job itself."""
        return self

    def open(self) -> "Sleeping":
        """The job itself."""
        return self

    def plan(self, image: str, _: File | None) -> CacheRequest[str]:
        """A key from the image's id."""
        return CacheRequest({KIND: cache.key(KIND, image)}, image)

    def load(self, image: str) -> str:
        """Nothing."""
        return image

    def compute(self, _: str, __: Sequence[str]) -> dict[str, bytes]:
        """Sleep; see `finished`."""
        time.sleep(self.seconds)
        note = json.dumps([os.getpid(), time.monotonic()])
        return {KIND: note.encode().ljust(self.size, b"\0")}


def finish(payload: bytes) -> tuple[int, float]:
    """In which process an image was computed, and when, by the clock of `time.monotonic`."""
    process, moment = json.loads(payload.rstrip(b"\0"))
    return process, moment
