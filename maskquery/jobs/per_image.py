"""Work on many images, each of them once: cells are taken, and what they lack is computed.

An image that cannot be processed does not stop the others; it is recorded with its reason.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from maskquery.core import console, files
from maskquery.core.errors import FatalError, UserError
from maskquery.core.threads import in_order
from maskquery.images import names
from maskquery.jobs.cells import Cells
from maskquery.models import device

OnError = Literal["fail", "skip"]

T = TypeVar("T")


class Once(Generic[T]):
    """A value, such as a model, that is made when it is first asked for, by whichever thread."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """The value.

        Raises:
            FatalError: it cannot be made; no image is to blame.
        """
        with self._lock:
            if not self._made:
                try:
                    self._made.append(self._make())
                except Exception as error:
                    raise FatalError(reason(error)) from error
            return self._made[0]


@dataclass(frozen=True)
class Need(Generic[T]):
    """What one image needs.

    Attributes:
        cells: the name of the cell for each part of the result.
        load: makes ready what the computation of some parts takes; called ahead, in a thread.
    """

    cells: Mapping[str, str]
    load: Callable[[Sequence[str]], T]


class Work(Protocol[T]):
    """What a stage does with one image."""

    def look(self, image: str, /) -> Need[T]:
        """What the image needs."""

    def compute(self, inputs: T, parts: Sequence[str], /) -> Mapping[str, bytes]:
        """The named parts, from what was loaded."""


@dataclass
class Tally:
    """What became of the images.

    Attributes:
        asked: how many images there are.
        computed: images of which a part was computed.
        total: images that were processed or found in the cells.
        failures: the reason, by image.
        used: names of the cells that the results came from.
    """

    asked: int
    computed: int = 0
    total: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """For a stage's closing line."""
        kept = self.total - self.computed
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.computed} images computed, {kept} from the side cache{failed}"

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a Ctrl-C that ends the stage say what is done."""
        try:
            yield
        except KeyboardInterrupt:
            done = f"{self.total} of {self.asked} images are done and kept"
            raise KeyboardInterrupt(f"{done}; `dvc repro` goes on there") from None


def results(
    images: Sequence[str],
    look: Callable[[str], Need[T]],
    compute: Callable[[T, Sequence[str]], Mapping[str, bytes]],
    cells: Cells,
    tally: Tally,
    *,
    threads: int = 2,
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each image's parts, in the order of `images`; those that fail are left out and recorded.

    Args:
        images: ids.
        look: what an image needs; called ahead, in a thread.
        compute: the missing parts, of which the names are given, from what was loaded.
        cells: where the parts are kept.
        tally: filled while this runs.
        threads: in which `look` and `load` run; one, if they may not run side by side.

    Raises:
        FatalError: what concerns more than one image.
    """

    def ahead(image: str) -> _Looked[T]:
        need = look(image)
        parts = {part: cells.read(name) for part, name in need.cells.items()}
        missing = [part for part, payload in parts.items() if payload is None]
        return _Looked(need.cells, parts, missing, need.load(missing) if missing else None)

    looked = in_order(ahead, images, threads)
    for image, future in console.progress(looked, len(images), cells.kind):
        try:
            parts = _finish(future.result(), compute, cells, tally)
        except FatalError:
            raise
        except Exception as error:
            if device.has_lost_device(error):
                raise FatalError(
                    f"image {image!r}: {reason(error)}; what is done is kept"
                ) from error
            tally.failures[image] = reason(error)
            continue
        yield image, parts


@dataclass(frozen=True)
class _Looked(Generic[T]):
    names: Mapping[str, str]
    parts: dict[str, bytes | None]
    missing: Sequence[str]
    inputs: T | None


def _finish(
    looked: _Looked[T],
    compute: Callable[[T, Sequence[str]], Mapping[str, bytes]],
    cells: Cells,
    tally: Tally,
) -> dict[str, bytes]:
    """All parts of one image, computed where they are missing."""
    parts = {part: payload for part, payload in looked.parts.items() if payload is not None}
    if looked.missing:
        assert looked.inputs is not None  # noqa: S101 - `ahead` loaded it
        with cells.claim(looked.names[looked.missing[0]]):
            now = {part: cells.read(looked.names[part]) for part in looked.missing}
            parts |= {part: payload for part, payload in now.items() if payload is not None}
            missing = [part for part in looked.missing if part not in parts]
            if missing:
                computed = compute(looked.inputs, missing)
                for part in missing:
                    cells.write(looked.names[part], computed[part])
                parts |= computed
                tally.computed += 1
    tally.total += 1
    tally.used += looked.names.values()
    return {part: parts[part] for part in looked.names}


def reason(error: Exception) -> str:
    """Why an image failed, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".rstrip(": ")


def write_failures(path: Path, tally: Tally) -> None:
    """Write failures.json: how many images failed, and the reason of each."""
    found = {"failed": len(tally.failures), "images": dict(sorted(tally.failures.items()))}
    files.write_json(path, found)


def expect_success(tally: Tally, on_error: OnError, where: str) -> None:
    """Refuse to go on where an image failed, unless such images are to be skipped.

    Args:
        tally: of all images.
        on_error: "skip" accepts failures, as long as there is another image.
        where: where they are listed, for the message.

    Raises:
        UserError: with the number and the first of them.
    """
    if not tally.failures or (on_error == "skip" and tally.total):
        return
    image, reason = min(tally.failures.items())
    raise UserError(
        f"{len(tally.failures)} of {len(tally.failures) + tally.total} images failed{where}; "
        f"the others are done and kept. The first is {names.shown(image)!r}: {reason}"
    )
