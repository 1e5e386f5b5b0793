"""masks: every image through SAM's automatic mask generation -> data/masks.zarr."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pydantic

from retrieval import cells, checkpoints, cli, cluster, images, mask_store, params, per_image
from retrieval.sam import work
from retrieval.sam.settings import Settings

MASKS = Path("data/masks.zarr")
FAILURES = Path("metrics/failures.json")


def _known(model: str) -> str:
    if model not in checkpoints.names("sam"):
        raise ValueError(f"must be one of {', '.join(checkpoints.names('sam'))}")
    return model


class SamParams(Settings):
    """Which SAM, and how it generates masks."""

    model: Annotated[str, pydantic.AfterValidator(_known)]


class Params(params.Section):
    """What params.yaml says to this stage."""

    images: params.Folder
    max_pixels: Annotated[int, pydantic.Field(ge=1)]
    on_error: per_image.OnError
    sam: SamParams


def run(masks: Path, failures: Path, settings: Params) -> str:
    """Write the store `masks`, and which images failed; the closing line.

    Raises:
        UserError: images failed and are not to be skipped, or the checkpoint cannot be had.
    """
    watched = images.Watched(settings.images)
    order = mask_store.shard_order(watched.paths)
    tally = per_image.Tally(len(order))
    counts: list[int] = []

    def groups() -> Iterator[mask_store.Encoded]:
        side_cache = cells.Cells(work.KIND)
        make = functools.partial(
            work.Work,
            max_pixels=settings.max_pixels,
            model=settings.sam.model,
            settings=settings.sam,
        )
        if cluster.wanted():
            found = cluster.results(order, watched.paths, make, side_cache, tally)
        else:
            own = make(watched.paths)
            found = per_image.results(order, own.look, own.compute, side_cache, tally)
        for image, parts in found:
            group = mask_store.decode(parts[work.KIND], image)
            counts.append(group.length("ids"))
            yield group
        watched.expect_unchanged()
        per_image.write_failures(failures, tally)
        per_image.expect_success(tally, settings.on_error, f" (see {failures})")

    with cells.held(masks), tally.interruptible():
        mask_store.write(masks, groups())
        cells.record(masks, work.KIND, tally.used)
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    line = f"masks: {sum(counts)} masks in {len(counts)} images{without}; {tally.summary()}"
    if not (others := watched.others):
        return line
    kinds = ", ".join(sorted(others))
    return f"{line}; {others.total()} pictures of kinds that are not read are left out: {kinds}"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, FAILURES, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
