"""Where a job runs: in this process, or on a Ray cluster. The results are the same."""

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
    """The images that are done, in the order of `images`; the others are in `stats.failures`.

    Args:
        job: what is done with an image.
        images: ids.
        files: of the images that have one.
        stats: filled while this runs.

    Raises:
        UserError: there is to be a cluster, and there is none.
        FatalError: what concerns more than one image.
    """
    if cluster.is_configured():
        return cluster.results(job, images, files, stats)
    return local.results(job, images, files, stats)
