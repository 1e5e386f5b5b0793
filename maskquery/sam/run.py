"""Every image through SAM: masks.zarr, and which images failed."""

import functools
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from maskquery.images import image_files
from maskquery.jobs import cells, cluster, per_image
from maskquery.masks import mask_store
from maskquery.sam import job
from maskquery.sam.settings import SamParams


def write_masks(
    images: Path,
    masks: Path,
    failures: Path,
    *,
    max_pixels: int,
    on_error: per_image.OnError,
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
    tally = per_image.Tally(len(order))
    counts: list[int] = []
    turned: set[str] = set()  # not known of what workers of a cluster look at

    def groups() -> Iterator[mask_store.Encoded]:
        nonlocal turned
        side_cache = cells.Cells(job.KIND)
        make = functools.partial(job.Work, max_pixels=max_pixels, model=sam.model, settings=sam)
        if cluster.wanted():
            found = cluster.results(order, watched.paths, make, side_cache, tally)
        else:
            own = make(watched.paths)
            turned = own.turned
            found = per_image.results(order, own.look, own.compute, side_cache, tally)
        for image, parts in found:
            group = mask_store.decode(parts[job.KIND], image)
            counts.append(group.length("ids"))
            yield group
        watched.expect_unchanged()  # before the store takes the place of an older one
        per_image.write_failures(failures, tally)
        per_image.expect_success(tally, on_error, f" (see {failures})")

    with cells.held(masks), tally.interruptible():
        mask_store.write(masks, groups())
        cells.record(masks, job.KIND, tally.used)
        watched.expect_unchanged()  # the last thing: what the folder holds next is what DVC hashes
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    line = f"masks: {sum(counts)} masks in {len(counts)} images{without}; {tally.summary()}"
    return line + _besides(turned, watched.others)


def _besides(turned: Collection[str], others: Counter[str]) -> str:
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
