"""Work on many images on a Ray cluster: the missing cells are computed there, then read as ever.

Ray Data maps blocks of image ids over a pool of actors, each with a model of its own. What they
compute comes back image by image and becomes cells; outputs are assembled from cells, so that they
do not depend on how many actors there are, on their order or on who dies.

Ray Data would repeat the block of an actor that died, for ever if one of its images kills the
process. So it is told not to repeat anything, and to go on without the block; the images that were
lost with it are sent again, each alone, and one that was lost alone `TRIES` times has failed.
"""

import contextlib
import importlib.util
import logging
import os
import pickle
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskquery.core import console, locks
from maskquery.core.errors import FatalError, UserError
from maskquery.core.threads import in_order
from maskquery.images import sources
from maskquery.jobs import cache, per_image
from maskquery.jobs.cells import Cells
from maskquery.jobs.cluster_watch import StalledError, batches, end_others
from maskquery.jobs.cluster_worker import BEGUN, FAILED, FATAL, Make, Worker
from maskquery.models import device

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: where the cluster is."""

DEVICE = "MASKQUERY_DEVICE"

TRIES = 3
"""How often an image may take its process down with it, alone, before it has failed."""

SETBACKS = 3
"""How often in a row all work may end without an image done."""

BLOCK = 100
"""Images in a block, at most: a block costs the driver some milliseconds."""

BLOCKS_PER_ACTOR = 16
"""Blocks for each actor, at least, where there are so many images: the last ones end together."""


class Answer(NamedTuple):
    """What became of one image: `reason` why it failed, or its parts."""

    image: str
    reason: str | None
    parts: Sequence[str] = ()
    names: Sequence[str] = ()
    payloads: Sequence[bytes | None] = ()


def wanted() -> bool:
    """Whether images are to be mapped over a cluster: there is one, or several GPUs here."""
    return bool(os.environ.get(ADDRESS)) or (
        own_gpus() > 1 and importlib.util.find_spec("ray") is not None
    )


def own_gpus(devices: Path = Path("/dev")) -> int:
    """How many NVIDIA GPUs this process may use, as far as can be told without torch."""
    if os.environ.get(DEVICE, "cuda") not in ("", "cuda"):
        return 0
    present = len(list(devices.glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, len([name for name in visible.split(",") if name.strip()]))


def results(
    images: Sequence[str],
    paths: Mapping[str, sources.File],
    make: Make,
    cells: Cells,
    tally: per_image.Tally,
    *,
    threads: int = 2,
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """As `per_image.results`, with the missing parts computed on the cluster.

    Args:
        images: ids.
        paths: of the images; those that have none are refused by the work itself.
        make: the stage's work, made anew in each worker.
        cells: where the parts are kept, by this process.
        tally: filled while this runs.
        threads: in which a worker looks at images ahead.

    Raises:
        UserError: there is no cluster, or no Ray.
        FatalError: what concerns more than one image.
    """
    lock = cache.root() / "locks" / f"cluster-{cells.kind}.lock"
    waiting = f"waiting for another run that computes {cells.kind} on a cluster, and holds {lock}"
    with _connected() as ray, locks.exclusive(lock, waiting):
        mapping = _Mapping(ray, paths, make, cells.kind, threads)
        answers = mapping.answers(images, cells.names())
        kept = dict(_keep(console.progress(answers, len(images), cells.kind), cells, tally))
        done = [image for image in images if image in kept]

        def read(image: str) -> dict[str, bytes | None]:
            answer = kept[image]
            return {
                part: cells.read(name)
                for part, name in zip(answer.parts, answer.names, strict=True)
            }

        for image, future in in_order(read, done):
            parts = future.result()
            if None in parts.values():  # damaged: computed again, whatever else is known of it
                again = dict(_keep(mapping.answers([image], []), cells, tally))
                tally.total -= 1
                if image not in again:
                    continue
                parts = read(image)
            tally.used += kept[image].names
            yield image, {part: data for part, data in parts.items() if data is not None}


def _keep(
    answers: Iterator[Answer], cells: Cells, tally: per_image.Tally
) -> Iterator[tuple[str, Answer]]:
    """Write the cells, and count; the images that have all theirs, with the names."""
    for answer in answers:
        if answer.reason is not None:
            tally.failures[answer.image] = answer.reason
            continue
        for name, payload in zip(answer.names, answer.payloads, strict=True):
            if payload is not None:
                cells.write(name, payload)
        tally.total += 1
        tally.computed += any(payload is not None for payload in answer.payloads)
        yield answer.image, answer._replace(payloads=())


class _Mapping:
    """Images mapped over the actors of a cluster."""

    def __init__(
        self, ray: Any, paths: Mapping[str, sources.File], make: Make, kind: str, threads: int
    ) -> None:
        self._ray, self._paths, self._make = ray, paths, make
        self._kind, self._threads = kind, threads
        self._environment = _environment()
        self._begun: dict[str, str] = {}  # the node, by image

    def answers(self, images: Sequence[str], known: Sequence[str]) -> Iterator[Answer]:
        """What became of each image, in any order, each once.

        Args:
            images: ids.
            known: names of the cells that need not be computed.
        """
        names = self._ray.put(np.array(sorted(known), np.bytes_))
        waiting, setbacks = dict.fromkeys(images), 0
        tries = Counter[str]()  # of those that were lost, how often alone
        while waiting:
            fresh = [image for image in waiting if image not in tries]
            now, alone = fresh or list(waiting), not fresh
            before = len(waiting)
            try:
                for answer in self._round(now, names, alone):
                    if answer.image in waiting:
                        del waiting[answer.image]
                        yield answer
                lost = [image for image in now if image in waiting]
            except StalledError:
                left = [image for image in now if image in waiting]
                # They are sent in this order: the first one was, if none could say so.
                lost = [image for image in left if image in self._begun] or left[:1]
                setbacks = setbacks + bool(fresh) if len(waiting) == before else 0
                self._expect_progress(setbacks, "all workers died")
            except self._ray.exceptions.RayError as error:
                lost, setbacks = [], setbacks + 1 if len(waiting) == before else 0
                self._expect_progress(setbacks, str(error).strip().splitlines()[-1])
            for image in lost:
                tries[image] += alone
            self._tell_lost(lost, tries)
            for image in [image for image in lost if tries[image] == TRIES]:
                del waiting[image]
                yield Answer(image, f"its process died {TRIES} times")

    def _round(self, images: Sequence[str], known: Any, alone: bool) -> Iterator[Answer]:
        """Send all images once; those that are lost with their process have no answer."""
        self._begun.clear()
        end_others(self._ray)
        each = _resources(self._ray, int(self._environment["OMP_NUM_THREADS"]))
        environment = self._environment
        if "num_gpus" in each:  # where threads only draw, and change no result
            environment = environment | {"OMP_NUM_THREADS": str(_cpus_per_gpu(self._ray))}
        actors = _actors(self._ray, each)
        size = 1 if alone else min(BLOCK, max(1, len(images) // (actors * BLOCKS_PER_ACTOR)))
        blocks = -(-len(images) // size)
        pool = self._ray.data.ActorPoolStrategy(
            min_size=1,
            initial_size=min(actors, blocks),
            max_tasks_in_flight_per_actor=1 if alone else 2,
        )
        _set_up(self._ray)
        with warnings.catch_warnings():
            # There is no other way to set `max_task_retries` yet.
            warnings.filterwarnings("ignore", ".*ray_remote_args.* is deprecated")
            items = self._ray.data.from_items(self._items(images), override_num_blocks=blocks)
            rows = items.map_batches(
                Worker,
                fn_constructor_args=(self._make, known, str(Path.cwd()), self._kind, self._threads),
                batch_size=None,
                batch_format="pyarrow",
                compute=pool,
                runtime_env={"env_vars": environment},
                max_restarts=0,
                max_task_retries=0,
                **each,
            )
        for batch in batches(self._ray, rows, self._kind):
            for row in batch.to_pylist():
                yield from self._answer(row)

    def _items(self, images: Sequence[str]) -> list[dict[str, Any]]:
        return [{"image": image, "file": pickle.dumps(self._paths.get(image))} for image in images]

    def _answer(self, row: Mapping[str, Any]) -> Iterator[Answer]:
        if row["what"] == BEGUN:
            self._begun |= dict.fromkeys(row["parts"], row["node"])
        elif row["what"] == FATAL:
            raise FatalError(row["reason"])
        else:
            own = () if row["what"] == FAILED else (row["parts"], row["names"], row["payloads"])
            yield Answer(row["image"], row["reason"], *own)

    def _tell_lost(self, lost: Sequence[str], tries: Mapping[str, int]) -> None:
        for image in lost:
            node = self._begun.get(image, "unknown")
            alone = f", alone, {tries[image]} of {TRIES} times" if tries[image] else ""
            console.tell(
                f"{self._kind}: node {node}, image {image!r}: lost with its process{alone}"
            )

    def _expect_progress(self, setbacks: int, reason: str) -> None:
        console.tell(f"{self._kind}: the cluster stopped ({reason}); going on")
        if setbacks >= SETBACKS:
            raise FatalError(
                f"the Ray cluster does no work ({reason}): see its logs, then run `dvc repro`; "
                "what is done is kept"
            )


@contextlib.contextmanager
def _connected() -> Iterator[Any]:
    """The module `ray`, connected: to the cluster, or to one of this machine's own.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    address = os.environ.get(ADDRESS, "")
    if address.startswith(("ray://", "http://", "https://")):
        raise UserError(
            f"{ADDRESS}={address} is for clients of a cluster: run this on a node of it with "
            f"{ADDRESS}=auto, or as a job (see docs/cluster.md)"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError:
        raise UserError(
            f"{ADDRESS} is set and Ray is not installed: run `pip install 'maskquery[ray]'`, "
            f"or unset {ADDRESS}"
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
            f"no Ray cluster answers at {ADDRESS}={address} ({reason}): start one "
            f"(`ray start --head`), set RAY_AUTH_MODE=token if it asks for one, or unset {ADDRESS}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _environment() -> dict[str, str]:
    """Variables that make a worker compute what this process would.

    The number of torch's threads changes the last bits on a CPU, and Ray would set another.
    """
    kept = {key: value for key, value in os.environ.items() if key.startswith("MASKQUERY_")}
    if kept.get(DEVICE, "").startswith("cuda"):
        kept[DEVICE] = "cuda"  # an actor sees its own GPU alone, and as the first
    code = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    threads = os.environ.get("OMP_NUM_THREADS") or str(device.thread_count())
    path = os.pathsep.join(part for part in code if part)
    return kept | {"OMP_NUM_THREADS": threads, "PYTHONPATH": path}


def _resources(ray: Any, threads: int) -> dict[str, float]:
    """What an actor takes: a GPU, or as many CPUs as torch has threads, where a node has them."""
    device = os.environ.get(DEVICE, "")
    nodes = _nodes(ray)
    if device.startswith("cuda") or (not device and any(node.get("GPU", 0) for node in nodes)):
        return {"num_gpus": 1, "num_cpus": 1}
    most = max((node.get("CPU", 0) for node in nodes), default=1)
    return {"num_cpus": max(1, min(threads, int(most)))}


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has that is there now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _cpus_per_gpu(ray: Any) -> int:
    """Of the node that has the fewest."""
    shares = [node.get("CPU", 0) / node["GPU"] for node in _nodes(ray) if node.get("GPU", 0)]
    return max(1, int(min(shares, default=1)))


def _actors(ray: Any, each: Mapping[str, float]) -> int:
    """How many actors the cluster holds as it is now; Ray Data adds some when it grows."""
    names = {"num_gpus": "GPU", "num_cpus": "CPU"}
    nodes = _nodes(ray)
    fitting = [
        min(int(node.get(names[key], 0) // amount) for key, amount in each.items())
        for node in nodes
    ]
    return max(1, sum(fitting))


def _set_up(ray: Any) -> None:
    """Ray Data for this use; the reasons stand at the top of this module."""
    for handler in logging.getLogger("ray.data").handlers:
        if handler.get_name() == "console":  # its log file stays
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = SETBACKS
    # An actor that has a model stays as long as there are images.
    context.autoscaling_config.actor_pool_util_downscaling_threshold = -1
    context.target_max_block_size = 1  # a row is sent when it is there, not when 128 MB are full
