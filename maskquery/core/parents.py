"""Whether the dvc that started a stage still runs.

A `dvc` that is killed leaves its stage running. By the time that such an orphan is done, another
`dvc repro` may have made the outputs, with other params, or restored them from DVC's run cache.
So an orphan replaces no output (`files` asks before each), and ends at its next image.

dvc runs a stage's command in a shell, which some shells replace by the command: the stage's parent
is dvc or that shell, and in the second case dvc is the shell's parent. A process whose parent dies
gets another one, so dvc is gone as soon as one of these numbers changes. A stage that was
not started by dvc is not watched: it may outlive its shell, as under `nohup`.
"""

import os
import time

import psutil

from maskquery.core.errors import RERUN, FatalError

_SECONDS = 1.0
"""Between two looks of `expect_dvc_soon`."""

_started_by: list[int] = []
_looked = 0.0


def watch_dvc() -> None:
    """Remember which processes started this one, if dvc did."""
    if "DVC_STAGE" in os.environ:
        _started_by[:] = _ancestors()


def expect_dvc() -> None:
    """Refuse to go on without the dvc that started this process.

    Raises:
        FatalError: it was killed.
    """
    if _started_by and _ancestors() != _started_by:
        raise FatalError(
            f"the dvc that started the stage {os.environ['DVC_STAGE']} was killed, and the stage "
            "replaced none of its outputs",
            RERUN,
        )


def expect_dvc_soon() -> None:
    """As `expect_dvc`, for a loop: it looks once a second at most."""
    global _looked
    if _started_by and time.monotonic() - _looked > _SECONDS:
        _looked = time.monotonic()
        expect_dvc()


def _ancestors() -> list[int]:
    """The parent of the process, and the parent's own if the first is the shell that dvc ran."""
    parent = os.getppid()
    try:
        shell = psutil.Process(parent)
        return [parent, shell.ppid()] if "-c" in shell.cmdline()[1:-1] else [parent]
    except psutil.Error:  # it ended in between, or belongs to another user
        return [parent]
