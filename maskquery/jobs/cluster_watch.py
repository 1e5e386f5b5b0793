"""Rows of Ray Data, whose iteration ends where nothing can come any more.

Ray Data counts actors that died as members of its pool, and makes no other one when it was the last
that lived: the blocks that are left would wait for ever.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from maskquery.core import console

PERIOD = 5.0
"""Seconds between two looks at the actors."""

TELL = 60.0
"""Seconds without an actor after which that is told; twice as many the next time."""


class StalledError(Exception):
    """All actors have died, and there are blocks that none has taken."""


def batches(ray: Any, rows: Any, kind: str) -> Iterator[Any]:
    """The batches of a dataset, as pyarrow tables.

    Args:
        ray: the module, connected.
        rows: a `ray.data.Dataset` that maps over an actor pool.
        kind: of the cells, for messages.

    Raises:
        StalledError: instead of waiting for ever.
    """
    watch = _Watch(ray, kind)
    thread = threading.Thread(target=watch.run, name="cluster watch", daemon=True)
    thread.start()
    iterator = iter(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
    try:
        while (batch := watch.wait_for(iterator)) is not None:
            yield batch
    finally:
        watch.done.set()
        thread.join()
    if watch.ended:
        raise StalledError


def end_others(ray: Any) -> None:
    """Kill the actors of rounds that are over: they hold what the next one needs.

    Ray Data just drops its references to them, and some are left where a node died.
    """
    worker = ray._private.worker.global_worker.core_worker
    for actor, state in _states(ray).items():
        if state != "DEAD":
            # One that nothing refers to any more is unknown here, and ends by itself.
            with contextlib.suppress(ValueError):
                worker.kill_actor(ray.ActorID.from_hex(actor), True)


def _states(ray: Any) -> dict[str, str]:
    """Of all actors of Ray Data's pools that this process has made, by id."""
    job = ray.get_runtime_context().get_job_id()
    return {
        actor: info["State"]
        for actor, info in ray._private.state.actors().items()
        if info["JobID"] == job and info["ActorClassName"].startswith("MapWorker")
    }


class _Watch:
    def __init__(self, ray: Any, kind: str) -> None:
        self.done, self.ended = threading.Event(), False
        self._ray, self._kind = ray, kind
        self._others = set(_states(ray))  # actors of other rounds
        self._since: float | None = None  # when the driver began to wait; None: it is at work

    def wait_for(self, iterator: Iterator[Any]) -> Any:
        self._since = time.monotonic()
        try:
            return next(iterator, None)
        finally:
            self._since = None

    def run(self) -> None:
        looks, tell = 0, TELL
        while not self.done.wait(PERIOD):
            since = self._since
            waited = 0.0 if since is None else time.monotonic() - since
            own = {
                state for actor, state in _states(self._ray).items() if actor not in self._others
            }
            looks = looks + 1 if own == {"DEAD"} and waited > PERIOD else 0
            if looks == 2:  # Ray Data would have made another one by now
                self.ended = True
                _end_round()
                return
            if waited < TELL:
                tell = TELL
            elif waited > tell and "ALIVE" not in own:
                console.tell(
                    f"{self._kind}: no worker has started for {waited:.0f} s; waiting for one"
                )
                tell *= 2


def _end_round() -> None:
    """There is no public way to the executor before its first row; it is a thread."""
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    for thread in threading.enumerate():
        if isinstance(thread, StreamingExecutor):
            thread.shutdown(force=False)
