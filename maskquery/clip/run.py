"""Every mask's crops through CLIP: embeddings.parquet."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from maskquery.clip import job
from maskquery.clip.settings import ClipParams
from maskquery.images import image_files
from maskquery.jobs import cells, cluster, per_image
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import MaskColumns
from maskquery.tables import embedding_table


def write_embeddings(images: Path, masks: Path, embeddings: Path, *, clip: ClipParams) -> str:
    """Write the table `embeddings`; the closing line.

    Args:
        images: what the masks were made of: a folder, an archive, or a listing of a bucket.
        masks: a store.
        embeddings: a table, replaced.
        clip: which CLIP, and what it is shown of a mask.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    paths = image_files.find(images)
    with MaskStore(masks) as store:
        names = store.images()
        tally = per_image.Tally(len(names))
        columns: dict[str, MaskColumns] = {}
        own = job.Work(store, paths, clip.model, clip, columns)

        def found() -> Iterator[tuple[str, dict[str, bytes]]]:
            side_cache = cells.Cells(job.KIND)
            if cluster.wanted():
                make = job.Maker(masks, clip.model, clip)
                return cluster.results(names, paths, make, side_cache, tally, threads=1)
            return per_image.results(names, own.look, own.compute, side_cache, tally, threads=1)

        def rows() -> Iterator[pa.Table]:
            for image, parts in found():
                # Workers look at the masks themselves, and leave this to be read.
                known = columns.pop(image, None) or store.columns(image)
                yield embedding_table.rows_of(known, clip.views, job.stacked(parts))
            per_image.expect_success(tally, "fail", "")

        with cells.held(embeddings), tally.interruptible():
            tables = rows()
            first = next(tables)
            dimensions = first.schema.field("embedding").type.list_size
            origin = {"sam": store.columns(names[0]).attributes.get("sam"), "clip": own.origin}
            tables = itertools.chain([first], tables)
            count = embedding_table.write(embeddings, tables, dimensions, origin)
            cells.record(embeddings, job.KIND, tally.used)
    views = ", ".join(clip.views)
    return f"embeddings: {count} rows for {len(names)} images, views: {views}; {tally.summary()}"
