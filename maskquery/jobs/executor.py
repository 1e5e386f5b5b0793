"""Run a job in this process or on a Ray cluster, with the same results."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from maskquery.images.sources import File
from maskquery.jobs import cluster, local
from maskquery.jobs.job import Job, Result
from maskquery.jobs.stats import RunStats

T = TypeVar("T")
Source = TypeVar("Source")


def results(
    job: Job[Source, T], images: Sequence[str], files: Mapping[str, File], stats: RunStats
) -> Iterator[Result[Source]]:
    """Yield the results, in the order of `images`; images that fail go to `stats.failures`.

    Args:
        job: the work on an image.
        images: ids.
        files: where the images' bytes are, by id; an image may have none.
        stats: filled while this runs.

    Raises:
        UserError: a cluster is configured and cannot be reached.
        FatalError: a failure that is not one image's alone.
    """
    if cluster.is_configured():
        return cluster.results(job, images, files, stats)
    return local.results(job, images, files, stats)
