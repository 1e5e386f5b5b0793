"""What every stage does at the command line: errors in one line, progress, a closing line."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from maskquery.core.errors import UserError, printable

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""A stage that ends sooner shows no bar, and does not spend the time to import one."""


def run_stage(main: Callable[[], str]) -> None:
    """Run a stage and print the line it returns; a `UserError` is one line and exit code 1."""
    try:
        print("\n".join(map(printable, main().split("\n"))))
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interruption:
        print(f"interrupted: {interruption}".removesuffix(": "), file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # else the interpreter searches all modules for garbage before it ends


def tell(line: str) -> None:
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
