"""Many images that are done: what a run costs that has nothing to do, or one image more.

The stages and DVC are real, the models a few lines of numpy (see tests/support/standin.py), and
the images small: what is measured is the price of their number. Loose files and the same files
packed (`maskquery pack`) are measured in turn. How many: $SCALE_IMAGES, else 20,000.
"""

import io
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring import Row
from maskquery.formats import pack
from tests.support.project import STAGES
from tests.support.repository import Repository

IMAGES = int(os.environ.get("SCALE_IMAGES", "20000"))
MASKS = 8  # of each image
REPEATS = 3
LONG_REPEATS = 1  # of what may take minutes
LOOSE, PACKED = "loose", "packed"
KINDS = (LOOSE, PACKED)


@dataclass(frozen=True)
class Spent:
    """Seconds: by the clock, and of processors, which a busy machine changes little."""

    wall: float
    cpu: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


def spent(function: Callable[[], object]) -> Spent:
    """What a call and the processes that it starts and waits for take."""
    wall, cpu = time.perf_counter(), _cpu()
    function()
    return Spent(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Side:
    """A repository whose images are loose or packed; both share the cache of finished work."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._kind = kind
        self._loose = folder / "images"  # outside the repository where they are packed
        os.environ["MASKQUERY_CACHE"] = str(folder / "cells")
        self._repository = Repository.create(folder / kind / "repository", 1)
        folder = self._repository.folder
        (folder / "data/images/room_0.png").unlink()
        (folder / ".gitignore").write_text(".cache/\n.*.tmp\n/data/images\n")
        self._repository.git("rm", "-r", "--quiet", "--cached", "data/images")
        self._repository.set_param("sam.points_per_side", MASKS)
        self._repository.commit()
        self._images = folder / "data/images"
        self._cells = str(folder / "cells")
        if kind == LOOSE:
            self._images.rmdir()
            self._loose = self._images

    def put(self, images: dict[str, bytes]) -> None:
        """Add images; not counted."""
        self._loose.mkdir(parents=True, exist_ok=True)
        for name, data in images.items():
            (self._loose / name).write_bytes(data)

    def pack(self) -> None:
        if self._kind == PACKED:
            pack.run(self._loose, self._images)

    def dvc(self, *arguments: str) -> str:
        done = self._repository.try_dvc(*arguments, MASKQUERY_CACHE=self._cells)
        if done.code:
            raise SystemExit(done.out + done.err)
        return done.out + done.err

    def expect(self, computed: int) -> None:
        """That the last run computed so many images, and no others."""
        counts = [self._repository.count(stage) for stage in STAGES]
        if counts != [computed] * len(STAGES):
            raise SystemExit(f"{counts} computed where {computed} were expected")

    def repro(self, computed: int) -> Spent:
        self._repository.forget()
        usage = spent(lambda: self.dvc("repro"))
        self.expect(computed)
        return usage

    def stage(self, name: str) -> Spent:
        """A stage by itself, with nothing to compute."""
        command = [sys.executable, "-m", "tests.support.standin", name]

        def run() -> None:
            done = self._repository.run(*command, MASKQUERY_CACHE=self._cells)
            if done.code:
                raise SystemExit(done.err)

        return spent(run)


def picture(number: int) -> dict[str, bytes]:
    """96 x 72 pixels, 10 kB."""
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (72, 96, 3), np.uint8)).save(buffer, "JPEG", quality=80)
    return {f"room_{number:06}.jpg": buffer.getvalue()}


def measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        sides = {kind: Side(Path(name), kind) for kind in KINDS}
        for number in range(IMAGES):
            image = picture(number)
            for side in sides.values():
                side.put(image)
        first = {LOOSE: sides[LOOSE].repro(IMAGES)}
        packing = spent(sides[PACKED].pack)
        first[PACKED] = sides[PACKED].repro(0)  # the cells are there
        yield row("first dvc repro; packed finds the cells", {k: [v] for k, v in first.items()})
        yield row("maskquery pack, the first time", {PACKED: [packing]})
        yield row("dvc repro, nothing to do", in_turn(sides, lambda side: side.repro(0)))
        yield row("dvc status", in_turn(sides, lambda side: spent(lambda: side.dvc("status"))))
        yield from one_more(sides)
        yield row("dvc exp run, nothing to do", in_turn(sides, experiment))


def one_more(sides: dict[str, Side]) -> Iterator[Row]:
    """One image more; packing counts. Then each stage by itself, which finds all cells."""
    times: dict[str, list[Spent]] = {kind: [] for kind in KINDS}
    packing = []
    for number in range(IMAGES, IMAGES + LONG_REPEATS):
        for kind, side in sides.items():
            side.put(picture(number))
            usage = spent(side.pack)
            packing += [usage] * (kind == PACKED)
            times[kind].append(usage + side.repro(kind == LOOSE))
    yield row("one image more: pack, dvc repro", times)
    yield row("  of it maskquery pack", {PACKED: packing})
    for stage in STAGES:
        yield row(f"  of it {stage}", in_turn(sides, partial(Side.stage, name=stage), LONG_REPEATS))


def experiment(side: Side) -> Spent:
    return spent(lambda: side.dvc("exp", "run", "--quiet"))


def in_turn(
    sides: dict[str, Side], measure_one: Callable[[Side], Spent], repeats: int = REPEATS
) -> dict[str, list[Spent]]:
    times: dict[str, list[Spent]] = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        for kind, side in sides.items():
            times[kind].append(measure_one(side))
    return times


def row(work: str, times: dict[str, list[Spent]]) -> Row:
    parts = []
    figures: dict[str, Any] = {"images": IMAGES, "masks_per_image": MASKS}
    for kind, usage in times.items():
        wall = statistics.median(each.wall for each in usage)
        cpu = statistics.median(each.cpu for each in usage)
        parts.append(f"{kind} {wall:.1f} s ({cpu:.1f} s of processors)")
        figures |= {f"{kind}_seconds": round(wall, 2), f"{kind}_cpu_seconds": round(cpu, 2)}
        figures[f"all_{kind}"] = [round(each.wall, 2) for each in usage]
    against = LOOSE if len(times) > 1 else "-"
    return Row(f"{work}, {IMAGES} images", against, ", ".join(parts), "-", figures)
