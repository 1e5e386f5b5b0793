"""The terminal output of stages and commands: one-line errors, progress, a closing line.

Exit codes: 1 for errors of files, settings or the machine, 2 for wrong arguments, 130 for Ctrl-C.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from maskquery.core import parents
from maskquery.core.errors import RERUN, UsageError, UserError, printable

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""A stage that ends sooner shows no bar, and does not import tqdm."""


def run(main: Callable[[], str]) -> None:
    """Run a stage or a command, and print the line that it returns, or the error in one line."""
    try:
        _print("\n".join(map(printable, main().split("\n"))))
    except (UserError, OSError) as error:  # OSError: a full disk, a read-only folder
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt as interruption:
        print(f"interrupted: {interruption}".removesuffix(": "), file=sys.stderr)
        sys.exit(130)
    finally:
        _print("", end="")  # flush what `--help` printed
        gc.freeze()  # saves a garbage collection of all modules at exit


def run_stage(main: Callable[[], str]) -> None:
    """As `run`, for a stage, which takes no arguments: params.yaml has all that it needs."""
    run(main if len(sys.argv) == 1 else _refuse_arguments)


def _refuse_arguments() -> str:
    spec = sys.modules["__main__"].__spec__
    stage = f"python -m {spec.name}" if spec else sys.argv[0]
    raise UsageError(f"{stage} takes no arguments", f"change params.yaml, then {RERUN}")


def _print(text: str, end: str = "\n") -> None:
    """Print, and ignore that the reader has closed the pipe, as `| head -1` does."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # The rest of the buffer is discarded; otherwise the interpreter complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log(line: str) -> None:
    """Print a line on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(printable(line), file=sys.stderr)


def progress(items: Iterable[T], total: int, desc: str, unit: str = "image") -> Iterator[T]:
    """Yield `items`, with a bar on stderr: how many are done, the rate and the remaining time.

    Raises:
        FatalError: the dvc that started this stage was killed.
    """
    start = time.monotonic()
    bar: tqdm[Any] | None = None
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - start > QUIET_SECONDS:
                bar = _bar(total, desc, unit, done)
            yield item
            parents.expect_dvc_soon()
            if bar is not None:
                bar.update()
    finally:
        if bar is not None:
            bar.close()


def _bar(total: int, desc: str, unit: str, done: int) -> "tqdm[Any]":
    from tqdm import tqdm

    # A log file gets a line every half minute and not ten a second.
    interval = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, desc=desc, unit=unit, initial=done, mininterval=interval)
