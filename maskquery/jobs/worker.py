"""What runs on the workers of a Ray cluster: a batch of images in, an answer for each of them out.

The driver (`jobs.cluster`) makes one `Worker` an actor. An image is read and decoded where it is
computed; its pixels go nowhere. A worker that sees the driver's cache of finished work writes its
cells there by itself; any other sends their bytes to the driver.
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
from maskquery.jobs.job import CacheRequest, Description, Job, reason
from maskquery.models import device

LOG = logging.getLogger("maskquery.jobs.cluster")

PAUSE = 0.05
"""Seconds between two lists of answers, at least: each costs the driver some 0.3 ms."""

Known = npt.NDArray[np.bytes_]


class Greeting(NamedTuple):
    """A worker's first words: its node's name, and whether it sees the driver's cache."""

    node: str
    shares_cache: bool


class Answer(NamedTuple):
    """What became of one image.

    Attributes:
        image: its id.
        reason: why it failed; None if it is done.
        keys: of its cells, by part.
        computed: whether a part had no cell.
        payloads: by part, those that the driver is to write.
    """

    image: str
    reason: str | None
    keys: Mapping[str, str] = {}
    computed: bool = False
    payloads: Mapping[str, bytes] = {}


class _Prepared(NamedTuple):
    keys: Mapping[str, str]
    missing: Sequence[str]  # parts
    inputs: Any  # of the computation; None if nothing is missing


class Worker:
    """A job, and its model once an image is computed, in an actor.

    What its methods raise ends the run: always a `FatalError`, in one line.
    """

    def __init__(self) -> None:
        import ray

        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
        LOG.setLevel(logging.INFO)
        self._node = f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}"
        self._job: Job[Any, Any]
        self._cells: Cells
        self._known: Known | None

    def greet(self, description: Description, folder: Path, probe: Path, text: str) -> Greeting:
        """Open the job; the first call.

        Args:
            description: of the job.
            folder: the driver's working directory, to which paths are relative.
            probe: a file in the driver's cache of finished work.
            text: what the file holds, for whoever sees that cache.
        """
        try:
            os.chdir(folder)
        except OSError as error:
            raise FatalError(
                f"node {self._node} has no folder {folder} ({error.strerror}): every node of the "
                "cluster must see the project and its images under the same path"
            ) from None
        try:
            self._job = description.open()
        except Exception as error:
            raise self._fatal(error) from None
        self._cells = Cells(self._job.kind)
        return Greeting(self._node, probe.is_file() and probe.read_text("utf-8") == text)

    def compute(
        self, batch: Sequence[tuple[str, File | None]], known: Known | None
    ) -> Iterator[list[Answer]]:
        """An answer for each image of the batch, in its order, some of them together.

        Args:
            batch: ids and files.
            known: keys of the cells there are, sorted, for a worker that does not see them; None:
                they are looked up, and new ones are written, here.
        """
        self._known = known
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
                answer = self._finish(image, future.result())
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

    def _prepare(self, item: tuple[str, File | None]) -> _Prepared:
        request: CacheRequest[Any] = self._job.plan(*item)
        missing = [part for part, key in request.keys.items() if not self._has(key)]
        inputs = self._job.load(request.source) if missing else None
        return _Prepared(request.keys, missing, inputs)

    def _has(self, key: str) -> bool:
        if self._known is None:
            return self._cells.has(key)
        place = int(np.searchsorted(self._known, key.encode()))
        return place < len(self._known) and self._known[place] == key.encode()

    def _finish(self, image: str, prepared: _Prepared) -> Answer:
        keys, missing = prepared.keys, prepared.missing
        if not missing:
            return Answer(image, None, keys)
        payloads = self._job.compute(prepared.inputs, missing)
        if self._known is not None:
            return Answer(image, None, keys, True, {part: payloads[part] for part in missing})
        for part in missing:
            self._cells.write(keys[part], payloads[part])
        return Answer(image, None, keys, True)

    def _log(self, image: str, message: str) -> None:
        LOG.info("%s: node %s, image %r: %s", self._job.kind, self._node, image, message)
