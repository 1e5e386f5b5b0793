"""What all benchmarks share: the rows of the table, times taken in turn, files of figures."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskquery.core import files

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "numba", "pillow", "segment-anything", "clip-anytorch", "dvc", "zarr")
NOT_MEASURED = "not measured"
# Of others, as nothing is measured yet; processes that are begun from here know it, too.
LOAD_BEFORE = float(os.environ.setdefault("BENCHMARKS_LOAD", f"{os.getloadavg()[0]:.1f}"))


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        work: what is done.
        against: what it is compared with.
        result: "13.1x", "0.7 GB", ...
        wanted: what it is to reach.
        figures: what the result comes from.
    """

    work: str
    against: str
    result: str
    target: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """Seconds of both sides."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """How many times faster the median of ours is."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    def figures(self) -> dict[str, Any]:
        return {
            "ours_seconds": round(statistics.median(self.ours), 4),
            "theirs_seconds": round(statistics.median(self.theirs), 4),
            "ratio": round(self.ratio, 2),
            "repeats": [len(self.ours), len(self.theirs)],
            "all_ours": [round(second, 4) for second in self.ours],
            "all_theirs": [round(second, 4) for second in self.theirs],
        }


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Times:
    """Both sides `repeats` times, one after the other, so that a busy minute hits both.

    The caller has run both once: nothing is compiled or loaded here.
    """
    times = Times([], [])
    for _ in range(repeats):
        times.theirs.append(seconds(theirs))
        times.ours.append(seconds(ours))
    return times


def share_of_rate(
    row: Row, work: Callable[[], object], operations: int, matrix: torch.Tensor, repeats: int
) -> Row:
    """The row of `work`, of so many operations, against the product of a square matrix."""
    product = partial(torch.mm, matrix, matrix)
    work(), product()
    figures = in_turn(work, product, repeats).figures()
    rate = operations / figures["ours_seconds"]
    best = 2 * len(matrix) ** 3 / figures["theirs_seconds"]
    figures |= {"gflops": round(rate / 1e9, 1), "matrix_gflops": round(best / 1e9, 1)}
    return Row(row.work, row.against, f"{rate / best:.0%}", row.target, figures)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes, until the GPU, if there is one, has finished, too."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = ["| work | against | result | target |", "|---|---|---|---|"]
    lines += [f"| {row.work} | {row.against} | {row.result} | {row.target} |" for row in rows]
    return "\n".join(lines)


def save(name: str, rows: Iterable[Row]) -> None:
    """Write results/NAME.json."""
    content = {
        "benchmark": f"python -m benchmarks {name}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "rows": [asdict(row) for row in rows],
    }
    files.write_json(RESULTS / f"{name}.json", content)


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, threads of torch, memory, GPU, others' load."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    results: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": LOAD_BEFORE,
    }
    if torch.cuda.is_available():
        results["gpu"] = torch.cuda.get_device_name()
    return results


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
