import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from maskquery.core.errors import FatalError, UserError
from maskquery.core.threads import AHEAD
from maskquery.jobs import cache, per_image
from maskquery.jobs.cells import Cells
from maskquery.jobs.per_image import Need, Once, Tally

IMAGES = [f"room_{number}" for number in range(7)]

Compute = Callable[[str, Sequence[str]], Mapping[str, bytes]]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))
    return tmp_path / "cells"


class Work:
    """A stage on images that are their own names; it notes down what it computed."""

    def __init__(self, parts: Sequence[str] = ("crop", "masked")) -> None:
        self.parts = parts
        self.computed: list[tuple[str, tuple[str, ...]]] = []
        self.broken: dict[str, Exception] = {}

    def look(self, image: str) -> Need[str]:
        if isinstance(self.broken.get(image), OSError):
            raise self.broken[image]
        names = {part: cache.key(image, part) for part in self.parts}
        return Need(names, lambda missing: image)

    def compute(self, image: str, parts: Sequence[str]) -> dict[str, bytes]:
        if image in self.broken:
            raise self.broken[image]
        self.computed.append((image, tuple(parts)))
        return {part: f"{image} {part}".encode() for part in parts}

    def run(self, images: Sequence[str] = IMAGES, threads: int = 2) -> tuple[dict, Tally]:
        tally = Tally(len(images))
        found = per_image.results(
            images, self.look, self.compute, Cells("toys"), tally, threads=threads
        )
        return dict(found), tally


def test_each_image_is_computed_once_and_order_is_kept() -> None:
    work = Work()
    first, tally = work.run()
    assert list(first) == IMAGES
    assert first["room_3"] == {"crop": b"room_3 crop", "masked": b"room_3 masked"}
    assert [image for image, _ in work.computed] == IMAGES
    assert tally.summary() == "7 images computed, 0 from the side cache"
    again, tally = work.run()
    assert again == first
    assert len(work.computed) == 7
    assert tally.summary() == "0 images computed, 7 from the side cache"
    assert tally.used == [cache.key(image, part) for image in IMAGES for part in work.parts]


def test_one_more_image_and_one_more_part_cost_no_more_than_themselves() -> None:
    Work(["crop"]).run()
    work = Work(["crop", "masked"])
    work.run(IMAGES[:2])
    assert work.computed == [("room_0", ("masked",)), ("room_1", ("masked",))]
    work = Work(["crop"])
    _, tally = work.run([*IMAGES, "room_9"])
    assert work.computed == [("room_9", ("crop",))]
    assert (tally.computed, tally.total) == (1, 8)


def test_parts_come_in_the_order_asked_for_wherever_they_come_from() -> None:
    Work(["masked"]).run(["room_0"])
    found, _ = Work(["crop", "masked", "blurred"]).run(["room_0"])
    assert list(found["room_0"]) == ["crop", "masked", "blurred"]


def test_a_damaged_cell_is_computed_again() -> None:
    work = Work()
    first, _ = work.run()
    cache.cell("toys", cache.key("room_3", "masked")).write_bytes(b"nonsense")
    again, tally = work.run()
    assert again == first
    assert work.computed[7:] == [("room_3", ("masked",))]
    assert tally.computed == 1


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
    work = Work()
    work.broken["room_3"] = error
    found, tally = work.run()
    assert list(found) == [image for image in IMAGES if image != "room_3"]
    assert tally.failures == {"room_3": reason}
    assert tally.summary() == "6 images computed, 0 from the side cache, 1 failed"
    per_image.write_failures(tmp_path / "failures.json", tally)
    written = json.loads((tmp_path / "failures.json").read_text())
    assert written == {"failed": 1, "images": {"room_3": reason}}
    per_image.expect_success(tally, "skip", "")
    with pytest.raises(UserError, match=r"1 of 7 images failed, see there; .* 'room_3': "):
        per_image.expect_success(tally, "fail", ", see there")
    work.broken.clear()
    assert work.run()[1].computed == 1


def test_if_all_fail_there_is_nothing_to_skip_to() -> None:
    work = Work()
    work.broken = dict.fromkeys(IMAGES, RuntimeError("no memory"))
    _, tally = work.run()
    with pytest.raises(UserError, match="7 of 7 images failed"):
        per_image.expect_success(tally, "skip", "")


def test_what_concerns_all_images_ends_the_run_at_once() -> None:
    work = Work()
    work.broken["room_3"] = FatalError("the disk is full")
    with pytest.raises(FatalError):
        work.run()
    assert [image for image, _ in work.computed] == IMAGES[:3]


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_a_gpu_that_breaks_down_is_not_an_image_s_fault(kind: type[Exception]) -> None:
    work = Work()
    work.broken["room_3"] = kind("CUDA error")
    with pytest.raises(FatalError, match=r"image 'room_3': .*CUDA error; what is done is kept"):
        work.run()
    work.broken.clear()
    assert work.run()[1].summary() == "4 images computed, 3 from the side cache"


def test_a_model_is_loaded_once_and_its_failure_is_nobodys() -> None:
    made: list[int] = []
    model = Once(lambda: made.append(1))
    threads = [threading.Thread(target=model) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]

    def fail() -> None:
        raise UserError("no checkpoint")

    with pytest.raises(FatalError, match="no checkpoint"):
        Once(fail)()

    def run_out() -> None:
        raise RuntimeError("the GPU has no memory")

    with pytest.raises(FatalError, match="RuntimeError: the GPU has no memory"):
        Once(run_out)()


def test_images_are_read_ahead_but_not_far() -> None:
    work, looked = Work(), []
    look = work.look

    def noted(image: str) -> Need[str]:
        looked.append(image)
        return look(image)

    found = per_image.results(IMAGES, noted, work.compute, Cells("toys"), Tally(7), threads=1)
    next(found)
    time.sleep(0.2)
    assert looked == IMAGES[:AHEAD]
    found.close()
    time.sleep(0.1)
    assert looked == IMAGES[:AHEAD]


def test_two_runs_at_once_share_the_work() -> None:
    works = [Work(), Work()]
    for work in works:
        compute = work.compute

        def slow(image: str, parts: Sequence[str], compute: Compute = compute) -> Mapping:
            time.sleep(0.02)
            return compute(image, parts)

        work.compute = slow  # type: ignore[method-assign]
    found: list[dict] = []
    threads = [threading.Thread(target=lambda w=work: found.append(w.run()[0])) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sorted(image for work in works for image, _ in work.computed) == IMAGES


def test_an_interruption_says_what_is_done() -> None:
    work, tally = Work(), Tally(7)

    def interrupted() -> None:
        found = per_image.results(IMAGES, work.look, work.compute, Cells("toys"), tally)
        with tally.interruptible():
            for image, _ in found:
                if image == "room_1":
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="2 of 7 images are done and kept; `dvc repro`"):
        interrupted()
    assert work.run()[1].computed == 5
