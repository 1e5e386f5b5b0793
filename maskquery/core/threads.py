"""Work on many things in threads, with results in order."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 4
"""Items that are begun before their turn."""

S = TypeVar("S")
T = TypeVar("T")


def in_order(
    function: Callable[[S], T], items: Iterable[S], threads: int = 2
) -> Iterator[tuple[S, "Future[T]"]]:
    """`function` of each item, in their order; `AHEAD` of them are begun before their turn.

    Items are taken by the caller's thread alone, one by one.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(threads, "ahead")
    try:
        waiting = deque(
            (item, pool.submit(function, item)) for item in itertools.islice(items, AHEAD)
        )
        while waiting:
            yield waiting.popleft()
            waiting.extend(
                (item, pool.submit(function, item)) for item in itertools.islice(items, 1)
            )
    finally:
        # Not waiting for what has begun: whoever stops half-way leaves this to the garbage
        # collector, which may come along in any thread, even one that is just being started.
        pool.shutdown(wait=False, cancel_futures=True)
