"""Apply a function to many items in threads, with results in order."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 4
"""How many items are started before their turn."""

S = TypeVar("S")
T = TypeVar("T")


def in_order(
    function: Callable[[S], T], items: Iterable[S], threads: int = 2
) -> Iterator[tuple[S, "Future[T]"]]:
    """Apply `function` to each item in threads; yield items with their futures, in order.

    `AHEAD` items are started before their turn. Only the caller's thread iterates over `items`.

    >>> [future.result() for _, future in in_order(abs, [-3, 2, -1])]
    [3, 2, 1]
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
        # Without waiting: if the caller stops early, the garbage collector runs this, in any
        # thread, even in one of the pool that is just being started.
        pool.shutdown(wait=False, cancel_futures=True)
