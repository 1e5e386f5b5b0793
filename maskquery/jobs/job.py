"""What a job is: the work of a stage on one image.

An executor calls `Job.plan` for the keys of an image's cells, `Job.load` if a cell is missing, and
`Job.compute` for the missing parts. The same job runs in this process (`jobs.local`) and on the
workers of a cluster (`jobs.worker`), which open it from its description.
"""

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from maskquery.core.errors import FatalError, UserError
from maskquery.images.sources import File

T = TypeVar("T")
Source = TypeVar("Source")
SourceOut = TypeVar("SourceOut", covariant=True)


@dataclass(frozen=True)
class CacheRequest(Generic[SourceOut]):
    """The cells of one image.

    Attributes:
        keys: the key of the cell of each part of the result, in the order of the parts.
        source: what `Job.load` needs, as far as `Job.plan` has read it.
    """

    keys: Mapping[str, str]
    source: SourceOut


@dataclass(frozen=True)
class Result(Generic[SourceOut]):
    """The result of one image.

    Attributes:
        image: its id.
        parts: the bytes of its cells, by part.
        source: that of its `CacheRequest`; None if another process made the request.
    """

    image: str
    parts: Mapping[str, bytes]
    source: SourceOut | None


class Description(Protocol):
    """The parameters of a job; other processes receive it by pickle, so it is small."""

    def open(self) -> "Job[Any, Any]":
        """Open the job. Models are loaded later, by the first call of `compute`.

        Raises:
            UserError: what the job needs is missing or damaged.
        """


class Job(Protocol[Source, T]):
    """The work of a stage on one image. Only the job itself looks into `Source` and `T`."""

    @property
    def description(self) -> Description:
        """From which another process opens the same job."""

    @property
    def kind(self) -> str:
        """The kind of its cells, such as "masks"."""

    @property
    def threads(self) -> int:
        """How many threads may run `plan` and `load` at the same time, at least 1."""

    def plan(self, image: str, file: File | None, /) -> CacheRequest[Source]:
        """Compute the keys of the image's cells; called in a thread, ahead of the image's turn.

        Args:
            image: its id.
            file: where its bytes are, None if there is no such file.

        Raises:
            UserError: the image cannot be processed.
            FatalError: nor can any other.
        """

    def load(self, source: Source, /) -> T:
        """Load the inputs of `compute`; called if a cell is missing, in the thread of `plan`.

        Raises:
            UserError, FatalError: as `plan`.
        """

    def compute(self, inputs: T, parts: Sequence[str], /) -> Mapping[str, bytes]:
        """Compute the bytes of some parts; called in one thread.

        Raises:
            UserError, FatalError: as `plan`.
        """


@dataclass(frozen=True)
class Task(Generic[Source, T]):
    """An image before its turn: which parts have no cell, and the inputs to compute them from.

    Attributes:
        image: its id.
        request: what `Job.plan` returned.
        missing: the parts that have no cell.
        inputs: of the computation; None if nothing is missing.
    """

    image: str
    request: CacheRequest[Source]
    missing: Sequence[str]
    inputs: T | None

    @classmethod
    def load(
        cls,
        job: "Job[Source, T]",
        image: str,
        request: CacheRequest[Source],
        available: Container[str],
    ) -> "Task[Source, T]":
        """Load an image's inputs unless all its parts are `available`.

        Raises:
            UserError, FatalError: as `Job.load`.
        """
        missing = [part for part in request.keys if part not in available]
        inputs = job.load(request.source) if missing else None
        return cls(image, request, missing, inputs)

    def compute(self, job: "Job[Source, T]", parts: Sequence[str]) -> dict[str, bytes]:
        """The bytes of some of the missing parts; there may be none.

        Raises:
            UserError, FatalError: as `Job.compute`.
        """
        if not parts:
            return {}
        assert self.inputs is not None  # noqa: S101 - `load` loads them for missing parts
        payloads = job.compute(self.inputs, parts)
        return {part: payloads[part] for part in parts}


class Lazy(Generic[T]):
    """A value, such as a model, that is made by the first thread that needs it.

    Args:
        make: called once.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: list[T] = []

    def __call__(self) -> T:
        """The value.

        Raises:
            FatalError: `make` failed, which would happen for every image.
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
