"""The driver of a run on a Ray cluster: actors compute missing cells, which are then read as usual.

Each actor holds a `jobs.worker.Worker` with its own model. It receives a batch of images at a time
and streams the answers. Outputs are assembled from cells, so they do not depend on the number of
actors, their order, or which of them die.

If an actor dies, only the images of its batch without an answer are lost. They are sent again, each
alone, after all other images: an image that is lost alone `TRIES` times has failed. Ray restarts no
actor. Instead one more actor than have started is always requested while there are images to send:
it starts when another dies or a node joins.
"""

import contextlib
import importlib.util
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from maskquery.core import console, locks
from maskquery.core.errors import FatalError, UserError
from maskquery.core.threads import in_order
from maskquery.images.sources import File
from maskquery.jobs import cache, ray_actors
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import Job, Result, reason
from maskquery.jobs.stats import RunStats
from maskquery.jobs.worker import Answer, Greeting, Worker
from maskquery.models import device

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: the address of the cluster."""

TRIES = 3
"""How often an image may be lost alone with its process before it has failed."""

SETBACKS = 3
"""After how many losses in a row of all actors, without any image done, the run fails."""

BATCH = 100
"""The most images of a batch."""

BATCHES_PER_ACTOR = 4
"""Batches for each actor that the remaining images are divided into. So batches become smaller
towards the end, and all actors end at about the same time."""

PATIENCE = 60.0
"""Seconds without an actor before it is logged; the time doubles with each line."""

T = TypeVar("T")
Source = TypeVar("Source")


def is_configured() -> bool:
    """Whether jobs run on a cluster: an address is set, or there are several GPUs and Ray here."""
    return bool(os.environ.get(ADDRESS)) or (
        count_gpus() > 1 and importlib.util.find_spec("ray") is not None
    )


def count_gpus(devices: Path = Path("/dev")) -> int:
    """The number of NVIDIA GPUs that this process may use, determined without torch."""
    if os.environ.get(device.VARIABLE, "cuda") not in ("", "cuda"):
        return 0
    present = len(list(devices.glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, len([name for name in visible.split(",") if name.strip()]))


def results(
    job: Job[Source, T], images: Sequence[str], files: Mapping[str, File], stats: RunStats
) -> Iterator[Result[Source]]:
    """As `local.results`, with the missing parts computed on the cluster.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
        FatalError: a failure that is not one image's alone.
    """
    cells = Cells(job.kind)
    lock = cache.root() / "locks" / f"cluster-{cells.kind}.lock"
    waiting = f"waiting for another run that computes {cells.kind} on a cluster, and holds {lock}"
    with _connect() as ray, locks.exclusive(lock, waiting):
        with _Pool(ray, job, files, cells, lock) as pool:
            answers = console.progress(pool.answers(images), len(images), cells.kind)
            keys = {answer.image: answer.keys for answer in _keep(answers, cells, stats)}
        answered = [image for image in images if image in keys]
        cell_parts = in_order(cells.read_parts, (keys[image] for image in answered))
        for image, (image_keys, future) in zip(answered, cell_parts, strict=True):
            parts = future.result()
            if len(parts) < len(image_keys):
                for part in image_keys.keys() - parts.keys():
                    cells.remove(image_keys[part])  # it is damaged
                stats.total -= 1  # it is counted again below, unless it fails
                with _Pool(ray, job, files, cells, lock) as pool:
                    if not list(_keep(pool.answers([image]), cells, stats)):
                        continue
                parts = cells.read_parts(image_keys)
            stats.cell_keys += image_keys.values()
            yield Result(image, parts, None)


def _keep(answers: Iterable[Answer], cells: Cells, stats: RunStats) -> Iterator[Answer]:
    """Write the cells that workers did not write, count, and yield the answers of successes."""
    for answer in answers:
        if answer.reason is not None:
            stats.failures[answer.image] = answer.reason
            continue
        for part, payload in answer.payloads.items():
            cells.write(answer.keys[part], payload)
        stats.count(computed=answer.computed)
        yield answer


def _write_probe(path: Path) -> str:
    """Write a random text to a file in the cache; a worker that reads it sees the same cache."""
    text = uuid.uuid4().hex
    path.write_text(text, encoding="utf-8")
    return text


class _Queue:
    """The images without an answer.

    Attributes:
        unanswered: their number.
    """

    def __init__(self, images: Sequence[str]) -> None:
        self.unanswered = len(images)
        self._fresh, self._suspects = deque(images), deque[str]()
        self._tries: dict[str, int] = {}  # how often an image was lost alone

    def __bool__(self) -> bool:
        """Whether there are images to send."""
        return bool(self._fresh or self._suspects)

    def take(self, actors: int) -> list[str]:
        """The images of the next batch: several that were never sent, or one that was lost."""
        if not self._fresh:
            return [self._suspects.popleft()]
        size = min(BATCH, max(1, len(self._fresh) // (actors * BATCHES_PER_ACTOR)))
        return [self._fresh.popleft() for _ in range(size)]

    def lose(self, image: str) -> int:
        """Requeue an image whose process died, `TRIES` times at most; how often it was alone."""
        self._tries[image] = tries = self._tries.get(image, -1) + 1
        if tries < TRIES:
            self._suspects.append(image)
        return tries


@dataclass
class _Actor:
    """A worker, seen from the driver.

    Attributes:
        handle: Ray's.
        call: the last call: a reference to a `Greeting`, or the stream of answers; None if the
            worker is idle.
        greeting: None until the worker has started.
        images: those sent and not answered, in order.
    """

    handle: Any
    call: Any
    greeting: Greeting | None = None
    images: dict[str, None] = field(default_factory=dict)


class _Pool:
    """The actors of a run; they are killed at the end of the `with` block."""

    def __init__(
        self, ray: Any, job: Job[Any, Any], files: Mapping[str, File], cells: Cells, probe: Path
    ) -> None:
        self._ray, self._files, self._cells = ray, files, cells
        text = _write_probe(probe)
        self._greeting = (job.description, Path.cwd(), probe.absolute(), text)
        self._actors: list[_Actor] = []
        self._capacity = 1
        self._deaths = 0  # in a row, without an image done
        self._heard, self._patience = time.monotonic(), PATIENCE  # of the last reply
        self._known_keys: Any = None  # reference to the keys of all cells

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)

    def answers(self, images: Sequence[str]) -> Iterator[Answer]:
        """Yield one answer for each image, in any order.

        Raises:
            FatalError: a worker raised one, or actors die without any image done.
        """
        queue = _Queue(images)
        while queue.unanswered:
            self._send(queue)
            self._start(queue)
            for actor in self._ready():
                yield from self._take(actor, queue)

    def _start(self, queue: _Queue) -> None:
        """Request an actor if none is starting and there are images to send."""
        if not queue or any(actor.greeting is None for actor in self._actors):
            return
        options, count = ray_actors.options(self._ray), 1
        if not self._actors:
            self._capacity = count = min(ray_actors.capacity(self._ray), queue.unanswered)
        for _ in range(count):
            handle = self._ray.remote(Worker).options(**options).remote()
            self._actors.append(_Actor(handle, handle.greet.remote(*self._greeting)))

    def _send(self, queue: _Queue) -> None:
        """Send a batch to each idle actor."""
        for actor in self._actors:
            if actor.call is None and actor.greeting is not None and queue:
                actor.images = dict.fromkeys(queue.take(len(self._actors)))
                batch = [(image, self._files.get(image)) for image in actor.images]
                keys = None if actor.greeting.shares_cache else self._keys()
                actor.call = actor.handle.compute.remote(batch, keys)

    def _keys(self) -> Any:
        if self._known_keys is None:
            self._known_keys = self._ray.put(np.array(sorted(self._cells.names()), np.bytes_))
        return self._known_keys

    def _ready(self) -> list[_Actor]:
        """The actors with a reply; none if there is no reply for long."""
        actors = {actor.call: actor for actor in self._actors if actor.call is not None}
        ready, _ = self._ray.wait(list(actors), timeout=self._patience)
        if ready:
            ready, _ = self._ray.wait(list(actors), num_returns=len(actors), timeout=0)
        elif not any(actor.greeting for actor in self._actors):
            waited = time.monotonic() - self._heard
            console.log(
                f"{self._cells.kind}: no worker has started for {waited:.0f} s; waiting for one"
            )
            self._patience = waited  # so the next line comes after twice the time
        return [actors[call] for call in ready]

    def _take(self, actor: _Actor, queue: _Queue) -> Iterator[Answer]:
        """Process the reply of an actor; its answers."""
        errors = self._ray.exceptions
        try:
            reply = self._ray.get(next(actor.call) if actor.greeting else actor.call)
        except StopIteration:  # the end of a batch
            actor.call = None
            return
        except errors.RayTaskError as error:
            raise FatalError(reason(error.cause)) from None
        except errors.RayError as error:
            yield from self._lose(actor, queue, error)
            return
        self._heard, self._patience = time.monotonic(), PATIENCE
        if isinstance(reply, Greeting):
            actor.greeting, actor.call = reply, None
            return
        for answer in reply:
            del actor.images[answer.image]
            queue.unanswered -= 1
            self._deaths = 0
            yield answer

    def _lose(self, actor: _Actor, queue: _Queue, error: Exception) -> Iterator[Answer]:
        """Drop a dead actor and requeue its images; the answers of those that have failed."""
        self._actors.remove(actor)
        self._ray.kill(actor.handle)  # it may be alive, and unreachable
        node = actor.greeting.node if actor.greeting else "unknown"
        tries = 0
        for image in actor.images:
            tries = queue.lose(image)
            alone = f", alone, {tries} of {TRIES} times" if tries else ""
            console.log(
                f"{self._cells.kind}: node {node}, image {image!r}: lost with its process{alone}"
            )
            if tries == TRIES:
                queue.unanswered -= 1
                yield Answer(image, f"its process died {TRIES} times")
        if not tries:  # otherwise the image may be the cause
            self._expect_progress(str(error).strip().splitlines()[-1])

    def _expect_progress(self, death: str) -> None:
        self._deaths += 1
        if self._deaths % self._capacity:
            return
        console.log(f"{self._cells.kind}: the cluster stopped ({death}); going on")
        if self._deaths >= SETBACKS * self._capacity:
            raise FatalError(
                f"the Ray cluster does no work ({death})",
                "see its logs, then run `dvc repro`; what is done is kept",
            )


@contextlib.contextmanager
def _connect() -> Iterator[Any]:
    """The module `ray`, connected to the cluster, or to a new one on this machine.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    address = os.environ.get(ADDRESS, "")
    if address.startswith(("ray://", "http://", "https://")):
        raise UserError(
            f"{ADDRESS}={address} is for clients of a cluster",
            f"run this on a node of it with {ADDRESS}=auto, or as a job (see docs/cluster.md)",
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UserError(
            f"{ADDRESS} is set and Ray is not installed",
            f"run `pip install 'maskquery[ray]'`, or unset {ADDRESS}",
        ) from None
    if ray.is_initialized():
        yield ray
        return
    local_only: dict[str, Any] = {} if address else {"_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **local_only,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"no Ray cluster answers at {ADDRESS}={address} ({reason})",
            "start one (`ray start --head`), set RAY_AUTH_MODE=token if it asks for one, "
            f"or unset {ADDRESS}",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
