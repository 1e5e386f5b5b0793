"""What runs on the workers of a Ray cluster: it takes batches of images and answers for each image.

Each actor of the driver (`jobs.cluster`) holds a `Worker`. An image is read and decoded on the
node that computes it. A worker that sees the driver's cache of finished work writes its cells
there; any other sends their bytes to the driver.
"""

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maskquery.core.errors import FatalError
from maskquery.core.threads import in_order
from maskquery.images.sources import File
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import Description, Job, Task, reason
from maskquery.models import device

LOG = logging.getLogger("maskquery.jobs.cluster")

PAUSE = 0.05
"""The least time between two lists of answers, seconds: each costs the driver some 0.3 ms."""

Keys = npt.NDArray[np.bytes_]


class Greeting(NamedTuple):
    """A worker's first answer: its node's name, and whether it sees the driver's cache."""

    node: str
    shares_cache: bool


class Answer(NamedTuple):
    """The outcome of one image.

    Attributes:
        image: its id.
        reason: why it failed; None if it did not.
        keys: of its cells, by part.
        computed: whether a part was computed.
        payloads: the bytes of the cells that the driver must write, by part.
    """

    image: str
    reason: str | None
    keys: Mapping[str, str] = {}
    computed: bool = False
    payloads: Mapping[str, bytes] = {}


class Worker:
    """Runs a job in an actor. Its model is loaded when the first image is computed.

    Methods raise only `FatalError`, which ends the run.
    """

    def __init__(self) -> None:
        import ray

        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
        LOG.setLevel(logging.INFO)
        self._node = f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}"
        self._job: Job[Any, Any]
        self._cells: Cells
        self._known_keys: Keys | None

    def greet(self, description: Description, folder: Path, probe: Path, text: str) -> Greeting:
        """Open the job; the first call.

        Args:
            description: of the job.
            folder: the driver's working directory, to which paths are relative.
            probe: a file in the driver's cache of finished work.
            text: what the file holds. A worker that reads it sees that cache.

        Raises:
            FatalError: the folder is missing on this node, or the job cannot be opened.
        """
        try:
            os.chdir(folder)
        except OSError as error:
            raise FatalError(
                f"node {self._node} has no folder {folder} ({error.strerror})",
                "every node of the cluster must see the project and its images under the same path",
            ) from None
        try:
            self._job = description.open()
        except Exception as error:
            raise self._fatal(error) from None
        self._cells = Cells(self._job.kind)
        return Greeting(self._node, probe.is_file() and probe.read_text("utf-8") == text)

    def compute(
        self, batch: Sequence[tuple[str, File | None]], known_keys: Keys | None
    ) -> Iterator[list[Answer]]:
        """Yield an answer for each image of the batch, in order, in lists of several.

        Args:
            batch: ids and files.
            known_keys: (K,) bytes, sorted: the keys of all cells, for a worker that does not see
                the driver's cache. None for a worker that sees it, and writes its cells there.

        Raises:
            FatalError: a failure that is not one image's alone.
        """
        self._known_keys = known_keys
        answers: list[Answer] = []
        sent = time.monotonic()
        try:
            for answer in self._answers(batch):
                answers.append(answer)
                if time.monotonic() - sent >= PAUSE:
                    yield answers
                    answers, sent = [], time.monotonic()
        except Exception as error:
            raise self._fatal(error) from None
        if answers:
            yield answers

    def _fatal(self, error: Exception) -> FatalError:
        if isinstance(error, FatalError):
            return error
        return FatalError(f"node {self._node}: {reason(error)}")

    def _answers(self, batch: Sequence[tuple[str, File | None]]) -> Iterator[Answer]:
        for (image, _), future in in_order(self._prepare, batch, self._job.threads):
            start = time.monotonic()
            try:
                answer = self._finish(future.result())
            except FatalError:
                raise
            except Exception as error:
                answer = Answer(image, reason(error))
                self._log(image, f"failed: {answer.reason}")
                if device.has_lost_device(error):  # as would all others in this process
                    LOG.error("this process ends: %s", answer.reason)
                    os._exit(1)
            else:
                seconds = f"{time.monotonic() - start:.3f} s"
                self._log(image, seconds if answer.computed else "has its cells")
            yield answer

    def _prepare(self, item: tuple[str, File | None]) -> Task[Any, Any]:
        image, file = item
        request = self._job.plan(image, file)
        available = {part for part, key in request.keys.items() if self._has(key)}
        return Task.load(self._job, image, request, available)

    def _has(self, key: str) -> bool:
        if self._known_keys is None:
            return self._cells.has(key)
        place = int(np.searchsorted(self._known_keys, key.encode()))
        return place < len(self._known_keys) and self._known_keys[place] == key.encode()

    def _finish(self, task: Task[Any, Any]) -> Answer:
        keys, has_computed = task.request.keys, bool(task.missing)
        payloads = task.compute(self._job, task.missing)
        if self._known_keys is not None:
            return Answer(task.image, None, keys, has_computed, payloads)
        for part, payload in payloads.items():
            self._cells.write(keys[part], payload)
        return Answer(task.image, None, keys, has_computed)

    def _log(self, image: str, message: str) -> None:
        LOG.info("%s: node %s, image %r: %s", self._job.kind, self._node, image, message)
