"""Images on a Ray cluster of this machine: what one costs the driver, and how actors add up.

The models are stubs that sleep: so many actors need no more cores than there are here, and what is
measured is Ray, the driver and the cells. Starting (Ray, the actors) is told apart from the rate.
Workers write their cells themselves, as where the cache's folder is shared, or send them to the
driver.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

from benchmarks.measuring import Row
from benchmarks.sleeping import KIND, Sleeping, finish
from maskquery.jobs import cluster, local
from maskquery.jobs.stats import RunStats

SIZE = 200_000  # bytes of a cell: 100 masks of a photograph, packed and compressed, have about that
SECONDS = 0.5  # of a GPU, for an image: vit_h needs more
PER_ACTOR = 40  # images
FREE = 4000  # images that take no time
ACTORS = (1, 2, 4, 8)
OBJECT_STORE = 500 * 2**20


def measure() -> Iterator[Row]:
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.pop("RAY_ADDRESS", None)
    yield from overhead("a shared cache", shared=True)
    yield from overhead("cells sent to the driver", shared=False)
    for actors in ACTORS:
        run = map_images(actors, PER_ACTOR * actors, SECONDS, shared=True)
        efficiency = run.images * SECONDS / actors / run.seconds
        yield Row(
            f"{actors} actors, {SECONDS} s an image",
            "as many times one",
            f"{efficiency:.0%}",
            "90 %",
            {"images_per_second": round(run.images / run.seconds, 3), "start": run.start},
        )


def overhead(label: str, *, shared: bool) -> Iterator[Row]:
    """What an image takes that takes no time."""
    alone = in_process(FREE // 10) * 1000
    run = map_images(2, FREE, 0.0, shared=shared)
    each, driver = run.seconds / run.images * 1000, run.driver * 1000
    yield Row(
        f"an image on a cluster, 2 actors, nothing to compute, {label}",
        "in process",
        f"{each:.2f} ms ({1000 / each:.0f} a second), {alone:.2f} ms",
        "-",
        {
            "milliseconds": round(each, 3),
            "images_per_second": round(1000 / each),
            "in_process": round(alone, 3),
            "start": run.start,
        },
    )
    yield Row(
        f"of it, processor time of the driver, {label}",
        "-",
        f"{driver:.2f} ms",
        "-",
        {"milliseconds": round(driver, 3), "images_per_second_at_most": round(1000 / driver)},
    )


def in_process(count: int) -> float:
    """Seconds for an image that takes no time."""
    names = [f"image_{number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKQUERY_CACHE"] = folder
        start = time.perf_counter()
        for _ in local.results(Sleeping(0.0, SIZE), names, {}, RunStats(count)):
            pass
        return (time.perf_counter() - start) / count


class Mapped(NamedTuple):
    """How a run went.

    Attributes:
        start: seconds until each actor had done its first image; they do not start at once.
        images: how many were done from then on.
        seconds: that they took.
        driver: seconds of processor time that the driver's process took for an image.
    """

    start: float
    images: int
    seconds: float
    driver: float


class Timed(RunStats):
    """Notes what processor time this process has taken when it knows of each image."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.times: list[float] = []

    def count(self, *, computed: bool) -> None:
        """Count an image that is done."""
        super().count(computed=computed)
        self.times.append(time.process_time())


def map_images(actors: int, count: int, sleep: float, *, shared: bool) -> Mapped:
    """So many images on so many actors."""
    import ray

    names = [f"image_{number}" for number in range(count)]
    ray.init(
        "local",
        num_cpus=actors,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE,
    )
    probe = cluster._write_probe if shared else mock.Mock(return_value="of another cache")
    moments: dict[int, list[float]] = {}  # when images were done, by process
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKQUERY_CACHE"] = folder
        start, stats = time.monotonic(), Timed(count)
        with mock.patch.object(cluster, "_write_probe", probe):
            for result in cluster.results(Sleeping(sleep, SIZE), names, {}, stats):
                process, moment = finish(result.parts[KIND])
                moments.setdefault(process, []).append(moment)
        ray.shutdown()
    assert len(moments) == actors, "not every actor had work: there were too few images"
    begin = max(min(plan) for plan in moments.values())
    later = [moment for plan in moments.values() for moment in plan if moment > begin]
    driver = (stats.times[-1] - stats.times[actors]) / (count - actors)
    return Mapped(round(begin - start, 2), len(later), max(later) - begin, driver)
