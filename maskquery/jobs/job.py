"""What a job is: the work of a stage on one image, as every executor asks for it.

An executor calls `plan` for the keys of an image's cells, `load` if there is no cell for some of
them, and `compute` for the parts that are missing. The same job runs in this process
(`jobs.local`) and on the workers of a cluster (`jobs.worker`), each of which opens it from its
description.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from maskquery.core.errors import FatalError, UserError
from maskquery.images.sources import File

T = TypeVar("T")
Source = TypeVar("Source")
SourceOut = TypeVar("SourceOut", covariant=True)


@dataclass(frozen=True)
class CacheRequest(Generic[SourceOut]):
    """What one image asks of the cache of finished work.

    Attributes:
        keys: the key of the cell for each part of the result, in the order of the parts.
        source: what `Job.load` needs, as far as it was read for the keys.
    """

    keys: Mapping[str, str]
    source: SourceOut


@dataclass(frozen=True)
class Result(Generic[SourceOut]):
    """An image that is done.

    Attributes:
        image: its id.
        parts: the bytes of its cells, by part.
        source: that of its `CacheRequest`; None where another process made the request.
    """

    image: str
    parts: Mapping[str, bytes]
    source: SourceOut | None


class Description(Protocol):
    """All that a job is made of: small, and sent to other processes by pickle."""

    def open(self) -> "Job[Any, Any]":
        """A job. Models are loaded later, by the first call of `compute`.

        Raises:
            UserError: what the job needs is missing or damaged.
        """


class Job(Protocol[Source, T]):
    """The work of a stage on one image. `Source` and `T` concern nobody but the job itself."""

    @property
    def description(self) -> Description:
        """What another process opens the same job from."""

    @property
    def kind(self) -> str:
        """Of its cells: "masks"."""

    @property
    def threads(self) -> int:
        """In how many threads `plan` and `load` may run side by side; 1 if they may not."""

    def plan(self, image: str, file: File | None, /) -> CacheRequest[Source]:
        """The keys of the image's cells. Called in a thread, ahead of the image's turn.

        Args:
            image: its id.
            file: where its bytes are, None if there is no such file.

        Raises:
            UserError: the image cannot be processed.
            FatalError: nor can any other.
        """

    def load(self, source: Source, /) -> T:
        """The inputs of `compute`; asked for if a part is missing, in the thread of `plan`.

        Raises:
            UserError, FatalError: as `plan`.
        """

    def compute(self, inputs: T, parts: Sequence[str], /) -> Mapping[str, bytes]:
        """The bytes of the named parts, of which each has a key; in one thread.

        Raises:
            UserError, FatalError: as `plan`.
        """


class Lazy(Generic[T]):
    """A value, such as a model, that is made when it is first asked for, by whichever thread."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: list[T] = []

    def __call__(self) -> T:
        """The value.

        Raises:
            FatalError: it cannot be made; no image is to blame.
        """
        with self._lock:
            if not self._values:
                try:
                    self._values.append(self._make())
                except Exception as error:
                    raise FatalError(reason(error)) from error
            return self._values[0]


def reason(error: Exception) -> str:
    """Why an image failed, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".rstrip(": ")
