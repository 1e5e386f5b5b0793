"""A worker by itself, without a cluster."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskquery.core.errors import FatalError, UserError
from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs import worker as worker_module
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import CacheRequest
from maskquery.jobs.worker import Answer, Greeting, Worker


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))
    monkeypatch.setattr(worker_module, "PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cells"


class Toys:
    """A job on images that are their own names, which raises what is to be raised for them."""

    kind, threads = "toys", 1

    def __init__(self, **errors: Exception) -> None:
        self.errors, self.description = errors, self

    def open(self) -> "Toys":
        if "open" in self.errors:
            raise self.errors["open"]
        return self

    def plan(self, image: str, file: File | None) -> CacheRequest[str]:
        return CacheRequest({"part": cache.key(image)}, image)

    def load(self, image: str) -> str:
        return image

    def compute(self, image: str, _: Sequence[str]) -> dict[str, bytes]:
        if image in self.errors:
            raise self.errors[image]
        return {"part": image.encode()}


def worker() -> Any:
    """Not made by Ray."""
    actor: Any = Worker.__new__(Worker)
    actor._node = "here"
    return actor


def greet(actor: Any, job: Toys, probe: Path, folder: Path | None = None) -> Greeting:
    greeting: Greeting = actor.greet(job, folder or Path.cwd(), probe, "text")
    return greeting


def batch(images: str) -> list[tuple[str, None]]:
    return [(image, None) for image in images]


def test_a_worker_whose_gpu_broke_down_ends_and_blames_no_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class EndedError(BaseException):
        """In place of the end of the process."""

    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr(os, "_exit", end)
    broken = torch.AcceleratorError("CUDA error: an illegal memory access")
    actor = worker()
    greet(actor, Toys(b=broken, c=broken), tmp_path / "probe")
    answers = actor.compute(batch("abc"), None)
    assert next(answers) == [Answer("a", None, {"part": cache.key("a")}, True)]
    with pytest.raises(EndedError):
        next(answers)


def test_who_sees_the_cache_writes_the_cells_and_any_other_sends_them(tmp_path: Path) -> None:
    probe, cells, actor = tmp_path / "probe", Cells("toys"), worker()
    assert not greet(actor, Toys(), probe).shares_cache
    probe.write_text("of another run")
    assert not greet(actor, Toys(), probe).shares_cache
    keys = {"part": cache.key("a")}
    other = np.array([cache.key("b")], np.bytes_)
    [[answer]] = actor.compute(batch("a"), other)
    assert answer == Answer("a", None, keys, True, {"part": b"a"})
    assert cells.names() == []
    [[answer]] = actor.compute(batch("b"), other)
    assert not answer.computed
    probe.write_text("text")
    assert greet(actor, Toys(), probe).shares_cache
    [[answer]] = actor.compute(batch("a"), None)
    assert answer == Answer("a", None, keys, True)
    assert cells.read(keys["part"]) == b"a"
    [[answer]] = actor.compute(batch("a"), None)
    assert answer == Answer("a", None, keys)


def test_answers_of_quick_images_travel_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "PAUSE", 60.0)
    actor = worker()
    greet(actor, Toys(b=ValueError("odd")), tmp_path / "probe")
    [answers] = actor.compute(batch("abc"), None)
    assert [(answer.image, answer.reason) for answer in answers] == [
        ("a", None), ("b", "ValueError: odd"), ("c", None)
    ]  # fmt: skip


def test_what_ends_the_run_is_one_line(tmp_path: Path) -> None:
    actor, probe = worker(), tmp_path / "probe"
    with pytest.raises(FatalError, match=r"^node here has no folder /nowhere \(No such file"):
        greet(actor, Toys(), probe, Path("/nowhere"))
    with pytest.raises(FatalError, match=r"^node here: the store is damaged$"):
        greet(actor, Toys(open=UserError("the store is damaged")), probe)
    greet(actor, Toys(a=FatalError("no checkpoint")), probe)
    with pytest.raises(FatalError, match=r"^no checkpoint$"):
        list(actor.compute(batch("a"), None))
