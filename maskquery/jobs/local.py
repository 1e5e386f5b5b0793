"""Run a job on many images in this process: cells are read, and what is missing is computed.

An image that fails does not stop the others; it is recorded with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from maskquery.core import console
from maskquery.core.errors import FatalError
from maskquery.core.threads import in_order
from maskquery.images.sources import File
from maskquery.jobs.cells import Cells
from maskquery.jobs.job import Job, Result, Task, reason
from maskquery.jobs.stats import RunStats
from maskquery.models import device

T = TypeVar("T")
Source = TypeVar("Source")


def results(
    job: Job[Source, T], images: Sequence[str], files: Mapping[str, File], stats: RunStats
) -> Iterator[Result[Source]]:
    """Yield the results, in the order of `images`; images that fail go to `stats.failures`.

    Some images ahead are planned and loaded in `job.threads` threads. If several processes need the
    same image, one computes it and the others wait.

    Args:
        job: its `plan` and `load` run in other threads, its `compute` in the caller's.
        images: ids.
        files: where the images' bytes are, by id; an image may have none.
        stats: filled while this runs.

    Raises:
        FatalError: a failure that is not one image's alone.
    """
    executor = _Executor(job, files, Cells(job.kind), stats)
    tasks = in_order(executor.prepare, images, job.threads)
    for image, future in console.progress(tasks, len(images), job.kind):
        try:
            result = executor.finish(*future.result())
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
class _Executor(Generic[Source, T]):
    job: Job[Source, T]
    files: Mapping[str, File]
    cells: Cells
    stats: RunStats

    def prepare(self, image: str) -> tuple[Task[Source, T], dict[str, bytes]]:
        """The task of an image, and the bytes of the parts that have a cell; in a thread."""
        request = self.job.plan(image, self.files.get(image))
        parts = self.cells.read_parts(request.keys)
        return Task.load(self.job, image, request, parts), parts

    def finish(self, task: Task[Source, T], parts: Mapping[str, bytes]) -> Result[Source]:
        """All parts of an image; missing ones are computed and written to cells."""
        keys = task.request.keys
        if task.missing:
            with self.cells.claim(keys[task.missing[0]]):
                # Another process may have computed them by now.
                others = self.cells.read_parts({part: keys[part] for part in task.missing})
                missing = [part for part in task.missing if part not in others]
                computed = task.compute(self.job, missing)
                for part, payload in computed.items():
                    self.cells.write(keys[part], payload)
            parts = {**parts, **others, **computed}
            self.stats.count(computed=bool(missing))
        else:
            self.stats.count(computed=False)
        self.stats.cell_keys += keys.values()
        return Result(task.image, {part: parts[part] for part in keys}, task.request.source)
