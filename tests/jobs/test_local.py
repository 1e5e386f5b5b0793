import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from maskquery.core.errors import FatalError, UserError
from maskquery.core.threads import AHEAD
from maskquery.images.sources import File
from maskquery.jobs import cache, local
from maskquery.jobs.job import CacheRequest
from maskquery.jobs.stats import RunStats

IMAGES = [f"room_{number}" for number in range(7)]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))
    return tmp_path / "cells"


class Toys:
    """A job on images that are their own names; it notes down what it planned and computed."""

    kind = "toys"

    def __init__(self, parts: Sequence[str] = ("crop", "masked"), threads: int = 2) -> None:
        self.parts, self.threads, self.description = parts, threads, self
        self.planned: list[str] = []
        self.computed: list[tuple[str, tuple[str, ...]]] = []
        self.broken: dict[str, Exception] = {}
        self.seconds = 0.0

    def open(self) -> "Toys":
        return self

    def plan(self, image: str, file: File | None) -> CacheRequest[str]:
        self.planned.append(image)
        if isinstance(self.broken.get(image), OSError):
            raise self.broken[image]
        return CacheRequest({part: cache.key(image, part) for part in self.parts}, image)

    def load(self, image: str) -> str:
        return image

    def compute(self, image: str, parts: Sequence[str]) -> dict[str, bytes]:
        if image in self.broken:
            raise self.broken[image]
        time.sleep(self.seconds)
        self.computed.append((image, tuple(parts)))
        return {part: f"{image} {part}".encode() for part in parts}

    def run(self, images: Sequence[str] = IMAGES) -> tuple[dict[str, Mapping], RunStats]:
        stats = RunStats(len(images))
        results = local.results(self, images, {}, stats)
        return {result.image: result.parts for result in results}, stats


def test_each_image_is_computed_once_and_order_is_kept() -> None:
    toys = Toys()
    first, stats = toys.run()
    assert list(first) == IMAGES
    assert first["room_3"] == {"crop": b"room_3 crop", "masked": b"room_3 masked"}
    assert [image for image, _ in toys.computed] == IMAGES
    assert stats.summary() == "7 images computed, 0 from the cache"
    again, stats = toys.run()
    assert again == first
    assert len(toys.computed) == 7
    assert stats.summary() == "0 images computed, 7 from the cache"
    assert stats.cell_keys == [cache.key(image, part) for image in IMAGES for part in toys.parts]


def test_one_more_image_and_one_more_part_cost_no_more_than_themselves() -> None:
    Toys(["crop"]).run()
    toys = Toys(["crop", "masked"])
    toys.run(IMAGES[:2])
    assert toys.computed == [("room_0", ("masked",)), ("room_1", ("masked",))]
    toys = Toys(["crop"])
    _, stats = toys.run([*IMAGES, "room_9"])
    assert toys.computed == [("room_9", ("crop",))]
    assert (stats.computed, stats.total) == (1, 8)


def test_parts_come_in_the_order_asked_for_wherever_they_come_from() -> None:
    Toys(["masked"]).run(["room_0"])
    result, _ = Toys(["crop", "masked", "blurred"]).run(["room_0"])
    assert list(result["room_0"]) == ["crop", "masked", "blurred"]


def test_a_damaged_cell_is_computed_again() -> None:
    toys = Toys()
    first, _ = toys.run()
    cache.cell("toys", cache.key("room_3", "masked")).write_bytes(b"nonsense")
    again, stats = toys.run()
    assert again == first
    assert toys.computed[7:] == [("room_3", ("masked",))]
    assert stats.computed == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("room\n3.png is no image"), r"room\n3.png is no image"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (FileNotFoundError(2, "No such file"), "FileNotFoundError: [Errno 2] No such file"),
    ],
)
def test_an_image_that_fails_does_not_stop_the_others(
    error: Exception, reason: str, tmp_path: Path
) -> None:
    toys = Toys()
    toys.broken["room_3"] = error
    result, stats = toys.run()
    assert list(result) == [image for image in IMAGES if image != "room_3"]
    assert stats.failures == {"room_3": reason}
    assert stats.summary() == "6 images computed, 0 from the cache, 1 failed"
    stats.write_failures(tmp_path / "failures.json")
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert failures == {"failed": 1, "images": {"room_3": reason}}
    stats.expect_success("skip", "")
    with pytest.raises(UserError, match=r"1 of 7 images failed, see there; .* 'room_3': "):
        stats.expect_success("fail", ", see there")
    toys.broken.clear()
    assert toys.run()[1].computed == 1


def test_if_all_fail_there_is_nothing_to_skip_to() -> None:
    toys = Toys()
    toys.broken = dict.fromkeys(IMAGES, RuntimeError("no memory"))
    _, stats = toys.run()
    with pytest.raises(UserError, match="7 of 7 images failed"):
        stats.expect_success("skip", "")


def test_what_concerns_all_images_ends_the_run_at_once() -> None:
    toys = Toys()
    toys.broken["room_3"] = FatalError("the disk is full")
    with pytest.raises(FatalError):
        toys.run()
    assert [image for image, _ in toys.computed] == IMAGES[:3]


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_a_gpu_that_breaks_down_is_not_an_image_s_fault(kind: type[Exception]) -> None:
    toys = Toys()
    toys.broken["room_3"] = kind("CUDA error")
    with pytest.raises(FatalError, match=r"image 'room_3': .*CUDA error; what is done is kept"):
        toys.run()
    toys.broken.clear()
    assert toys.run()[1].summary() == "4 images computed, 3 from the cache"


def test_images_are_planned_ahead_but_not_far() -> None:
    toys = Toys(threads=1)
    results: Any = local.results(toys, IMAGES, {}, RunStats(7))
    next(results)
    time.sleep(0.2)
    assert toys.planned == IMAGES[:AHEAD]
    results.close()
    time.sleep(0.1)
    assert toys.planned == IMAGES[:AHEAD]


def test_who_plans_an_image_gets_its_source_back() -> None:
    toys = Toys()
    for _ in range(2):
        results = local.results(toys, IMAGES, {}, RunStats(7))
        assert [result.source for result in results] == IMAGES


def test_two_runs_at_once_share_the_work() -> None:
    runs = [Toys(), Toys()]
    for toys in runs:
        toys.seconds = 0.02
    parts: list[dict[str, Mapping]] = []
    threads = [threading.Thread(target=lambda t=toys: parts.append(t.run()[0])) for toys in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parts[0] == parts[1]
    assert sorted(image for toys in runs for image, _ in toys.computed) == IMAGES


def test_an_interruption_says_what_is_done() -> None:
    toys, stats = Toys(), RunStats(7)

    def interrupt() -> None:
        with stats.interruptible():
            for result in local.results(toys, IMAGES, {}, stats):
                if result.image == "room_1":
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="2 of 7 images are done and kept; `dvc repro`"):
        interrupt()
    assert toys.run()[1].computed == 5
