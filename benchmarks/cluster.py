"""Images on a Ray cluster of this machine: what one costs the driver, and how actors add up.

The models are stubs that sleep: so many actors need no more cores than there are here, and what is
measured is Ray, the driver and the cells. Starting (Ray, the actors) is told apart from the rate.
"""

import functools
import os
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.measuring import Row
from benchmarks.sleeping import KIND, Sleeping
from maskquery.jobs import cluster, per_image
from maskquery.jobs.cells import Cells

SIZE = 200_000  # bytes of a cell: 100 masks of a photograph, packed and compressed, have about that
SECONDS = 0.5  # of a GPU, for an image: vit_h needs more
PER_ACTOR = 40  # images
FREE = 400  # images that take no time
ACTORS = (1, 2, 4, 8)
OBJECT_STORE = 500 * 2**20


def measure() -> Iterator[Row]:
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.pop("RAY_ADDRESS", None)
    alone = in_process(FREE) * 1000
    free = mapped(1, FREE, 0.0)
    each, driver = free.seconds / free.images * 1000, free.driver / free.images * 1000
    yield Row(
        "an image on a cluster, 1 actor, nothing to compute",
        "in process",
        f"+{each - alone:.1f} ms ({each:.1f} ms, {alone:.1f} ms)",
        "-",
        {"milliseconds": round(each, 3), "in_process": round(alone, 3), "start": free.start},
    )
    yield Row(
        "of it, processor time of the driver",
        "-",
        f"{driver:.1f} ms",
        "-",
        {"milliseconds": round(driver, 3), "images_per_second_at_most": round(1000 / driver)},
    )
    for actors in ACTORS:
        done = mapped(actors, PER_ACTOR * actors, SECONDS)
        efficiency = done.images * SECONDS / actors / done.seconds
        yield Row(
            f"{actors} actors, {SECONDS} s an image",
            "as many times one",
            f"{efficiency:.0%}",
            "90 %",
            {"images_per_second": round(done.images / done.seconds, 3), "start": done.start},
        )


def in_process(count: int) -> float:
    """Seconds for an image that takes no time."""
    names = [f"image_{number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKQUERY_CACHE"] = folder
        work, tally = Sleeping(0.0, SIZE, {}), per_image.Tally(count)
        start = time.perf_counter()
        for _ in per_image.results(names, work.look, work.compute, Cells(KIND), tally):
            pass
        return (time.perf_counter() - start) / count


class Mapped(NamedTuple):
    """How a run went.

    Attributes:
        start: seconds until as many images were done as there are actors.
        images: how many were done from then on.
        seconds: that they took.
        driver: seconds of processor time that they took of the driver's process.
    """

    start: float
    images: int
    seconds: float
    driver: float


def mapped(actors: int, count: int, sleep: float) -> Mapped:
    """So many images on so many actors. A cell that is written tells that its image is done."""
    import ray

    names = [f"image_{number}" for number in range(count)]
    ray.init(
        "local",
        num_cpus=actors,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE,
    )
    written: list[tuple[float, float]] = []

    class Timed(Cells):
        def write(self, name: str, payload: bytes) -> None:
            super().write(name, payload)
            written.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKQUERY_CACHE"] = folder
        start, tally = time.perf_counter(), per_image.Tally(count)
        make = functools.partial(Sleeping, sleep, SIZE)
        found = list(cluster.results(names, {}, make, Timed(KIND), tally))
        ray.shutdown()
    assert len(found) == len(written) == count
    # The first image of each actor is not counted: they do not start at once.
    (first, before), (last, after) = written[actors - 1], written[-1]
    return Mapped(round(first - start, 2), count - actors, last - first, after - before)
