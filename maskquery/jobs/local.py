"""A job on many images in this process: cells are taken, and what they lack is computed.

An image that cannot be processed does not stop the others; it is recorded with its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from maskquery.core import console
from maskquery.core.errors import FatalError
from maskquery.core.threads import in_order
from maskquery.images.sources import File
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import CacheRequest, Job, Result, reason
from maskquery.jobs.stats import RunStats
from maskquery.models import device

T = TypeVar("T")
Source = TypeVar("Source")


def results(
    job: Job[Source, T], images: Sequence[str], files: Mapping[str, File], stats: RunStats
) -> Iterator[Result[Source]]:
    """The images that are done, in the order of `images`; the others are in `stats.failures`.

    Images are planned and loaded some steps ahead, in `job.threads` threads. Of processes that
    compute the same image at once, one does and the others wait for it.

    Args:
        job: its `plan` and `load` run in other threads, its `compute` in the caller's.
        images: ids.
        files: of the images that have one.
        stats: filled while this runs.

    Raises:
        FatalError: what concerns more than one image.
    """
    executor = _Executor(job, files, Cells(job.kind), stats)
    prepared = in_order(executor.prepare, images, job.threads)
    for image, future in console.progress(prepared, len(images), job.kind):
        try:
            result = executor.finish(future.result())
        except FatalError:
            raise
        except Exception as error:
            if device.has_lost_device(error):
                raise FatalError(
                    f"image {image!r}: {reason(error)}; what is done is kept"
                ) from error
            stats.failures[image] = reason(error)
            continue
        yield result


@dataclass(frozen=True)
class _Prepared(Generic[Source, T]):
    """An image before its turn.

    Attributes:
        parts: those that have a cell.
        missing: the others.
        inputs: of the computation; None if nothing is missing.
    """

    image: str
    request: CacheRequest[Source]
    parts: Mapping[str, bytes]
    missing: Sequence[str]
    inputs: T | None


@dataclass(frozen=True)
class _Executor(Generic[Source, T]):
    job: Job[Source, T]
    files: Mapping[str, File]
    cells: Cells
    stats: RunStats

    def prepare(self, image: str) -> _Prepared[Source, T]:
        """Ahead of the image's turn, in a thread."""
        request = self.job.plan(image, self.files.get(image))
        parts = self.cells.read_parts(request.keys)
        missing = [part for part in request.keys if part not in parts]
        inputs = self.job.load(request.source) if missing else None
        return _Prepared(image, request, parts, missing, inputs)

    def finish(self, image: _Prepared[Source, T]) -> Result[Source]:
        """All parts of an image, computed and kept where they are missing."""
        keys, parts = image.request.keys, image.parts
        if image.missing:
            with self.cells.claim(keys[image.missing[0]]):
                # Another process may have computed them by now.
                others = self.cells.read_parts({part: keys[part] for part in image.missing})
                missing = [part for part in image.missing if part not in others]
                computed = self._compute(image, missing)
            parts = {**parts, **others, **computed}
            self.stats.count(computed=bool(missing))
        else:
            self.stats.count(computed=False)
        self.stats.used += keys.values()
        return Result(image.image, {part: parts[part] for part in keys}, image.request.source)

    def _compute(self, image: _Prepared[Source, T], missing: Sequence[str]) -> Mapping[str, bytes]:
        if not missing:
            return {}
        assert image.inputs is not None  # noqa: S101 - `prepare` loaded them
        payloads = self.job.compute(image.inputs, missing)
        for part in missing:
            self.cells.write(image.request.keys[part], payloads[part])
        return payloads
