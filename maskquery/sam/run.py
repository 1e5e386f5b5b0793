"""Run SAM on all images, and write masks.zarr and failures.json."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from maskquery.images import image_files
from maskquery.jobs import cells, executor
from maskquery.jobs.digests import HashedImage
from maskquery.jobs.job import Result
from maskquery.jobs.stats import OnError, RunStats
from maskquery.masks import mask_store
from maskquery.models import tiny
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
    """Generate the masks of all images.

    Args:
        images: a folder, an archive, or a listing of a bucket.
        masks: the store to write; an existing one is replaced.
        failures: the JSON file of failures to write; an existing one is replaced.
        max_pixels: a larger image fails.
        on_error: "skip" leaves out images that fail; with "fail" a failure is an error, which is
            raised after all other images are done.
        sam: which SAM, and how it generates masks.

    Returns:
        The closing line of the stage.

    Raises:
        UserError: there are no images, images failed and are not skipped, or the checkpoint cannot
            be opened or downloaded.
    """
    source = image_files.WatchedSource(images)
    order = mask_store.shard_order(source.paths)
    stats = RunStats(len(order))
    counts: list[int] = []  # of masks, in each image
    sizes: Counter[tuple[int, int]] = Counter()  # of images; not known of those of workers
    turned: list[str] = []  # ids; not known of images that workers of a cluster read
    sam_job = job.Description(max_pixels, sam.model, sam).open()
    with cells.exclusive_output(masks), stats.interruptible():
        results = executor.results(sam_job, order, source.paths, stats)
        groups = _groups(results, counts, turned, sizes)
        mask_store.MaskStore.write(masks, _check(groups, source, stats, failures, on_error))
        cells.record(masks, job.KIND, stats.cell_keys)
        source.expect_unchanged()  # last: DVC hashes the folder right after
    tiny.warn("sam.model", sam.model, sizes.total() - sizes[tiny.ROOM_SIZE])
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    line = f"masks: {sum(counts)} masks in {len(counts)} images{without}; {stats.summary()}"
    return line + _remarks(turned, source.others)


def _remarks(turned: Collection[str], others: Counter[str]) -> str:
    """Remarks on images that are turned, and on images that are not read."""
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
    results: Iterable[Result[HashedImage]],
    counts: list[int],
    turned: list[str],
    sizes: Counter[tuple[int, int]],
) -> Iterator[mask_store.EncodedMasks]:
    """The encoded masks of each image.

    Args:
        results: of the job.
        counts: the number of masks of each image is appended.
        turned: the ids of images whose EXIF orientation turns them and keeps their size (a label
            map of the unturned image would go unnoticed) are appended.
        sizes: heights and widths are counted.
    """
    for result in results:
        group = mask_store.decode(result.parts[job.KIND], result.image)
        counts.append(group.count)
        if result.source:
            sizes[result.source.header.height, result.source.header.width] += 1
        if result.source and result.source.header.orientation in (2, 3, 4):
            turned.append(result.image)
        yield group


def _check(
    groups: Iterable[mask_store.EncodedMasks],
    source: image_files.WatchedSource,
    stats: RunStats,
    failures: Path,
    on_error: OnError,
) -> Iterator[mask_store.EncodedMasks]:
    """Yield `groups`, then raise an error if the source changed or images failed."""
    yield from groups
    source.expect_unchanged()
    stats.write_failures(failures)
    stats.expect_success(on_error, f" (see {failures})")
