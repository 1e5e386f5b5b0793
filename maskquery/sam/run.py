"""Every image through SAM: masks.zarr, and which images failed."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
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
    watched = image_files.WatchedSource(images)
    order = mask_store.shard_order(watched.paths)
    stats = RunStats(len(order))
    counts: list[int] = []  # of masks, in each image
    turned: list[str] = []  # not known of what workers of a cluster plan
    sam_job = job.Description(max_pixels, sam.model, sam).open()
    with cells.exclusive_output(masks), stats.interruptible():
        results = executor.results(sam_job, order, watched.paths, stats)
        groups = _groups(results, counts, turned)
        mask_store.MaskStore.write(masks, _check(groups, watched, stats, failures, on_error))
        cells.record(masks, job.KIND, stats.cell_keys)
        watched.expect_unchanged()  # the last thing: what the folder holds next is what DVC hashes
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    line = f"masks: {sum(counts)} masks in {len(counts)} images{without}; {stats.summary()}"
    return line + _remarks(turned, watched.others)


def _remarks(turned: Collection[str], others: Counter[str]) -> str:
    """What may surprise: pictures that are turned, and pictures that are not read."""
    parts = []
    if turned:
        parts.append(
            f"{len(turned)} images are turned by EXIF orientation 2, 3 or 4, which keeps their "
            "size: label maps must be turned, too"
        )
    if others:
        kinds = ", ".join(sorted(others))
        parts.append(f"{others.total()} pictures of kinds that are not read are left out: {kinds}")
    return "".join(f"; {part}" for part in parts)


def _groups(
    results: Iterable[Result[HashedImage]], counts: list[int], turned: list[str]
) -> Iterator[mask_store.EncodedMasks]:
    """The masks of each image as they stand in a store; how many they are is added to `counts`.

    Images whose EXIF orientation turns them without a change of size are added to `turned`.
    """
    for result in results:
        group = mask_store.decode(result.parts[job.KIND], result.image)
        counts.append(group.count)
        if result.source and result.source.header.orientation in (2, 3, 4):
            turned.append(result.image)
        yield group


def _check(
    groups: Iterable[mask_store.EncodedMasks],
    watched: image_files.WatchedSource,
    stats: RunStats,
    failures: Path,
    on_error: OnError,
) -> Iterator[mask_store.EncodedMasks]:
    """`groups`, refused at their end, before there is a store of them, where something is wrong."""
    yield from groups
    watched.expect_unchanged()
    stats.write_failures(failures)
    stats.expect_success(on_error, f" (see {failures})")
