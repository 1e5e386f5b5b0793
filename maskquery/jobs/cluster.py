"""The driver of a run on a Ray cluster: missing cells are computed there, then read as ever.

Each actor has a model of its own (`jobs.worker`) and gets a batch of images at a time, of which it
streams the answers. Outputs are assembled from cells, so that they do not depend on how many actors
there are, on their order or on who dies.

An actor that dies takes no other image with it than those of its batch that have no answer. They
are sent again, each alone, after all others: an image that is lost alone `TRIES` times has failed.
No actor is restarted by Ray. Instead there is one more than have started, as long as there are
images to send: it starts when another dies or a node joins.
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
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import Job, Result, reason
from maskquery.jobs.stats import RunStats
from maskquery.jobs.worker import Answer, Greeting, Worker
from maskquery.models import device

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: where the cluster is."""

TRIES = 3
"""How often an image may take its process down with it, alone, before it has failed."""

SETBACKS = 3
"""How often in a row as many actors as there were may die without an image done."""

BATCH = 100
"""Images in a batch, at most."""

BATCHES_PER_ACTOR = 4
"""Into how many batches for each actor the images are cut that are left: the last ones are small,
so that all actors end together."""

PATIENCE = 60.0
"""Seconds without an actor after which that is told; twice as many the next time."""

T = TypeVar("T")
Source = TypeVar("Source")


def is_configured() -> bool:
    """Whether images are to be mapped over a cluster: there is one, or several GPUs here."""
    return bool(os.environ.get(ADDRESS)) or (
        count_gpus() > 1 and importlib.util.find_spec("ray") is not None
    )


def count_gpus(devices: Path = Path("/dev")) -> int:
    """How many NVIDIA GPUs this process may use, as far as can be told without torch."""
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
        UserError: there is no cluster, or no Ray.
        FatalError: what concerns more than one image.
    """
    cells = Cells(job.kind)
    lock = cache.root() / "locks" / f"cluster-{cells.kind}.lock"
    waiting = f"waiting for another run that computes {cells.kind} on a cluster, and holds {lock}"
    with _connect() as ray, locks.exclusive(lock, waiting):
        with _Pool(ray, job, files, cells, lock) as pool:
            answers = console.progress(pool.answers(images), len(images), cells.kind)
            keys = {answer.image: answer.keys for answer in _keep(answers, cells, stats)}
        done = [image for image in images if image in keys]
        cell_parts = in_order(cells.read_parts, (keys[image] for image in done))
        for image, (image_keys, future) in zip(done, cell_parts, strict=True):
            parts = future.result()
            if len(parts) < len(image_keys):
                for part in image_keys.keys() - parts.keys():
                    cells.remove(image_keys[part])  # it is damaged
                stats.total -= 1  # it is counted again, unless it fails by now
                with _Pool(ray, job, files, cells, lock) as pool:
                    if not list(_keep(pool.answers([image]), cells, stats)):
                        continue
                parts = cells.read_parts(image_keys)
            stats.cell_keys += image_keys.values()
            yield Result(image, parts, None)


def _keep(answers: Iterable[Answer], cells: Cells, stats: RunStats) -> Iterator[Answer]:
    """Write the cells that workers do not write, and count; those of the images that are done."""
    for answer in answers:
        if answer.reason is not None:
            stats.failures[answer.image] = answer.reason
            continue
        for part, payload in answer.payloads.items():
            cells.write(answer.keys[part], payload)
        stats.count(computed=answer.computed)
        yield answer


def _write_probe(path: Path) -> str:
    """Write into a file in the cache a text by which workers know that they see the same cache."""
    text = uuid.uuid4().hex
    path.write_text(text, encoding="utf-8")
    return text


class _Queue:
    """The images that have no answer.

    Attributes:
        unanswered: how many there are.
    """

    def __init__(self, images: Sequence[str]) -> None:
        self.unanswered = len(images)
        self._fresh, self._suspects = deque(images), deque[str]()
        self._tries: dict[str, int] = {}  # how often a suspect was lost alone

    def __bool__(self) -> bool:
        """Whether there are images that no actor has."""
        return bool(self._fresh or self._suspects)

    def take(self, actors: int) -> list[str]:
        """The images of the next batch: some that were never sent, or one that was lost."""
        if not self._fresh:
            return [self._suspects.popleft()]
        size = min(BATCH, max(1, len(self._fresh) // (actors * BATCHES_PER_ACTOR)))
        return [self._fresh.popleft() for _ in range(size)]

    def lose(self, image: str) -> int:
        """Take back an image whose process died, `TRIES` times at most; how often it was alone."""
        self._tries[image] = tries = self._tries.get(image, -1) + 1
        if tries < TRIES:
            self._suspects.append(image)
        return tries


@dataclass
class _Actor:
    """A worker, as the driver sees it.

    Attributes:
        handle: Ray's.
        call: what it was asked last: a reference to a `Greeting`, or the stream of its answers;
            None if it has nothing to do.
        greeting: None until it has started.
        images: that it was sent and has not answered, in order.
    """

    handle: Any
    call: Any
    greeting: Greeting | None = None
    images: dict[str, None] = field(default_factory=dict)


class _Pool:
    """The actors of a run; they end with the `with` block."""

    def __init__(
        self, ray: Any, job: Job[Any, Any], files: Mapping[str, File], cells: Cells, probe: Path
    ) -> None:
        self._ray, self._files, self._cells = ray, files, cells
        text = _write_probe(probe)
        self._greeting = (job.description, Path.cwd(), probe.absolute(), text)
        self._actors: list[_Actor] = []
        self._capacity = 1
        self._deaths = 0  # in a row without an image done
        self._heard, self._patience = time.monotonic(), PATIENCE  # of the last reply
        self._known: Any = None  # reference to the keys of all cells

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)

    def answers(self, images: Sequence[str]) -> Iterator[Answer]:
        """What became of each image, in any order, each once.

        Raises:
            FatalError: a worker says so, or the cluster does no work.
        """
        queue = _Queue(images)
        while queue.unanswered:
            self._send(queue)
            self._start(queue)
            for actor in self._ready():
                yield from self._take(actor, queue)

    def _start(self, queue: _Queue) -> None:
        """See to it that an actor is starting as long as there are images to send."""
        if not queue or any(actor.greeting is None for actor in self._actors):
            return
        options, count = _options(self._ray), 1
        if not self._actors:
            self._capacity = count = min(_capacity(self._ray), queue.unanswered)
        for _ in range(count):
            handle = self._ray.remote(Worker).options(**options).remote()
            self._actors.append(_Actor(handle, handle.greet.remote(*self._greeting)))

    def _send(self, queue: _Queue) -> None:
        """Give each actor that has nothing to do a batch."""
        for actor in self._actors:
            if actor.call is None and actor.greeting is not None and queue:
                actor.images = dict.fromkeys(queue.take(len(self._actors)))
                batch = [(image, self._files.get(image)) for image in actor.images]
                known = None if actor.greeting.shares_cache else self._keys()
                actor.call = actor.handle.compute.remote(batch, known)

    def _keys(self) -> Any:
        if self._known is None:
            self._known = self._ray.put(np.array(sorted(self._cells.names()), np.bytes_))
        return self._known

    def _ready(self) -> list[_Actor]:
        """The actors that have said something; none if all keep silent for long."""
        actors = {actor.call: actor for actor in self._actors if actor.call is not None}
        ready, _ = self._ray.wait(list(actors), timeout=self._patience)
        if ready:
            ready, _ = self._ray.wait(list(actors), num_returns=len(actors), timeout=0)
        elif not any(actor.greeting for actor in self._actors):
            waited = time.monotonic() - self._heard
            console.log(
                f"{self._cells.kind}: no worker has started for {waited:.0f} s; waiting for one"
            )
            self._patience = waited  # told again when it is twice as long
        return [actors[call] for call in ready]

    def _take(self, actor: _Actor, queue: _Queue) -> Iterator[Answer]:
        """What an actor has said."""
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
        """Go on without an actor; the images that have failed with it."""
        self._actors.remove(actor)
        self._ray.kill(actor.handle)  # it may live, and be out of reach
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
        if not tries:  # else the image may be to blame
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
    """The module `ray`, connected: to the cluster, or to one of this machine's own.

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
    own: dict[str, Any] = {} if address else {"_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **own,
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


def _options(ray: Any) -> dict[str, Any]:
    """How an actor is started."""
    resources, environment = _resources(ray), _environment()
    if "num_gpus" in resources:  # where threads only draw, and change no result
        environment |= {"OMP_NUM_THREADS": str(_cpus_per_gpu(ray))}
    return {
        **resources,
        "max_restarts": 0,
        "max_task_retries": 0,
        "runtime_env": {"env_vars": environment},
    }


def _environment() -> dict[str, str]:
    """Variables that make a worker compute what this process would, and find the same cache.

    The number of torch's threads changes the last bits on a CPU, and Ray would set another.
    """
    kept = {key: value for key, value in os.environ.items() if key.startswith("MASKQUERY_")}
    kept |= {"MASKQUERY_CACHE": str(cache.root().absolute())}
    if kept.get(device.VARIABLE, "").startswith("cuda"):
        kept[device.VARIABLE] = "cuda"  # an actor sees its own GPU alone, and as the first
    code = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(part for part in code if part)
    return kept | {"OMP_NUM_THREADS": str(_threads()), "PYTHONPATH": path}


def _threads() -> int:
    """How many threads torch has in this process, on a CPU."""
    return int(os.environ.get("OMP_NUM_THREADS") or device.thread_count())


def _resources(ray: Any) -> dict[str, float]:
    """What an actor takes: a GPU, or as many CPUs as torch has threads, where a node has them."""
    wish, nodes = os.environ.get(device.VARIABLE, ""), _nodes(ray)
    if wish.startswith("cuda") or (not wish and any(node.get("GPU", 0) for node in nodes)):
        return {"num_gpus": 1, "num_cpus": 1}
    most = max((node.get("CPU", 0) for node in nodes), default=1)
    return {"num_cpus": max(1, min(_threads(), int(most)))}


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has that is there now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _cpus_per_gpu(ray: Any) -> int:
    """Of the node that has the fewest."""
    shares = [node.get("CPU", 0) / node["GPU"] for node in _nodes(ray) if node.get("GPU", 0)]
    return max(1, int(min(shares, default=1)))


def _capacity(ray: Any) -> int:
    """How many actors the cluster holds as it is now, or at least one."""
    names, each = {"num_gpus": "GPU", "num_cpus": "CPU"}, _resources(ray)
    actors = (
        min(int(node.get(names[key], 0) // amount) for key, amount in each.items())
        for node in _nodes(ray)
    )
    return max(1, sum(actors))
