"""A worker by itself, without a cluster."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from maskquery.jobs import cache
from maskquery.jobs.cluster_worker import DONE, Worker
from maskquery.jobs.per_image import Need


class Breaking:
    """A stage whose GPU breaks down at the second image."""

    def look(self, image: str) -> Need[str]:
        return Need({"part": cache.key(image)}, lambda _: image)

    def compute(self, image: str, _: Sequence[str]) -> dict[str, bytes]:
        if image != "a":
            raise torch.AcceleratorError("CUDA error: an illegal memory access")
        return {"part": b"a"}


class EndedError(Exception):
    """In place of the end of the process."""


def test_a_worker_whose_gpu_broke_down_ends_and_blames_no_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr(os, "_exit", end)
    worker: Any = Worker.__new__(Worker)
    vars(worker).update(_known=[], _threads=1, _kind="masks", _node="here")
    rows = worker._rows(["a", "b", "c"], Breaking())
    (done,) = next(rows).to_pylist()
    assert (done["what"], done["image"]) == (DONE, "a")
    with pytest.raises(EndedError):
        next(rows)
