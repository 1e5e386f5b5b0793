"""Every image through SAM: masks.zarr, and which images failed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from maskquery.images import image_files
from maskquery.jobs import cells, executor
from maskquery.jobs.digests import HashedImage
from maskquery.jobs.job import Result
from maskquery.jobs.stats import OnError, RunStats
from maskquery.masks import mask_store
from maskquery.sam import job
from maskquery.sam.settings import SamParams


def write_masks(
    images: Path,
    masks: Path,
    failures: Path,
    *,
    max_pixels: int,
    on_error: OnError,
    sam: SamParams,
) -> str:
    """Write the store `masks`, and which images failed; the closing line.

    Args:
        images: a folder, an archive, or a listing of a bucket.
        masks: a store, replaced.
        failures: a JSON file, replaced.
        max_pixels: a larger image fails.
        on_error: "skip" leaves out images that fail, "fail" refuses to go on, after all others.
        sam: which SAM, and how it generates masks.

    Raises:
        UserError: images failed and are not to be skipped, or the checkpoint cannot be had.
    """
    watched = image_files.Watched(images)
    order = mask_store.shard_order(watched.paths)
    stats = RunStats(len(order))
    counts: list[int] = []  # of masks, in each image
    sam_job = job.Description(max_pixels, sam.model, sam).open()
    with cells.held(masks), stats.interruptible():
        results = executor.results(sam_job, order, watched.paths, stats)
        groups = _groups(results, counts)
        mask_store.MaskStore.write(masks, _checked(groups, watched, stats, failures, on_error))
        cells.record(masks, job.KIND, stats.used)
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    line = f"masks: {sum(counts)} masks in {len(counts)} images{without}; {stats.summary()}"
    if not (others := watched.others):
        return line
    kinds = ", ".join(sorted(others))
    return f"{line}; {others.total()} pictures of kinds that are not read are left out: {kinds}"


def _groups(
    results: Iterable[Result[HashedImage]], counts: list[int]
) -> Iterator[mask_store.EncodedMasks]:
    """The masks of each image as they stand in a store; how many they are is added to `counts`."""
    for result in results:
        group = mask_store.decode(result.parts[job.KIND], result.image)
        counts.append(group.count)
        yield group


def _checked(
    groups: Iterable[mask_store.EncodedMasks],
    watched: image_files.Watched,
    stats: RunStats,
    failures: Path,
    on_error: OnError,
) -> Iterator[mask_store.EncodedMasks]:
    """`groups`, refused at their end, before there is a store of them, where something is wrong."""
    yield from groups
    watched.expect_unchanged()
    stats.write_failures(failures)
    stats.expect_success(on_error, f" (see {failures})")
