"""What stages and commands do on a terminal: errors in one line, progress, a closing line.

Exit codes: 1 for what is wrong with files, settings or the machine, 2 for what was typed wrongly,
130 for a Ctrl-C.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from maskquery.core.errors import RERUN, UsageError, UserError, printable

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""A stage that ends sooner shows no bar, and does not spend the time to import one."""


def run(main: Callable[[], str]) -> None:
    """Run a stage or a command and print the line it returns; a `UserError` is one line."""
    try:
        _print("\n".join(map(printable, main().split("\n"))))
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt as interruption:
        print(f"interrupted: {interruption}".removesuffix(": "), file=sys.stderr)
        sys.exit(130)
    finally:
        _print("", end="")  # what `--help` printed may still be in the buffer
        gc.freeze()  # else the interpreter searches all modules for garbage before it ends


def run_stage(main: Callable[[], str]) -> None:
    """As `run`, of a stage: params.yaml says all that it needs, so it takes no arguments."""
    run(main if len(sys.argv) == 1 else _refuse_arguments)


def _refuse_arguments() -> str:
    spec = sys.modules["__main__"].__spec__
    stage = f"python -m {spec.name}" if spec else sys.argv[0]
    raise UsageError(f"{stage} takes no arguments", f"change params.yaml, then {RERUN}")


def _print(text: str, end: str = "\n") -> None:
    """Print to the end, or until the reader has gone: `| head -1` reads one line."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, or the interpreter complains when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log(line: str) -> None:
    """Say why nothing seems to happen, whether or not there is a bar."""
    from tqdm import tqdm

    tqdm.write(printable(line), file=sys.stderr)


def progress(items: Iterable[T], total: int, desc: str, unit: str = "image") -> Iterator[T]:
    """Yield `items`; a bar on stderr tells those done, the rate and the time that remains."""
    start = time.monotonic()
    bar: tqdm[Any] | None = None
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - start > QUIET_SECONDS:
                bar = _bar(total, desc, unit, done)
            yield item
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
