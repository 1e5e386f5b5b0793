"""Notes which cells are written, by the driver of a cluster and by its workers."""

import os
from pathlib import Path

from maskquery.jobs.cells import Cells
from tests.support import standin

WRITE = Cells.write


def note(log: Path) -> None:
    """From now on every cell that this process writes appends its key to `log`."""

    def noted(self: Cells, name: str, payload: bytes) -> None:
        with log.open("a") as file:
            file.write(f"{name}\n")
        WRITE(self, name, payload)

    Cells.write = noted  # type: ignore[method-assign]


def install() -> None:
    """What a worker is to do before its first call."""
    standin.install()
    note(Path(os.environ["STANDIN_WRITTEN"]))
