"""Run CLIP on the crops of all masks, and write embeddings.parquet."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from maskquery.clip import job
from maskquery.clip.settings import ClipParams
from maskquery.images import image_files
from maskquery.jobs import cells, executor
from maskquery.jobs.job import Result
from maskquery.jobs.stats import RunStats
from maskquery.models import tiny
from maskquery.tables import embedding_table


def write_embeddings(images: Path, masks: Path, embeddings: Path, *, clip: ClipParams) -> str:
    """Compute the embeddings of all masks.

    Args:
        images: the images that the masks were generated from: a folder, an archive, or a listing of
            a bucket.
        masks: the store of masks.
        embeddings: the Parquet file to write; an existing one is replaced.
        clip: which CLIP, and the views of a mask.

    Returns:
        The closing line of the stage.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be
            opened or downloaded.
    """
    files = image_files.find(images)
    clip_job = job.Description(masks, clip.model, clip).open()
    with clip_job.store as store:
        names = store.images()
        stats = RunStats(len(names))
        with cells.exclusive_output(embeddings), stats.interruptible():
            results = executor.results(clip_job, names, files, stats)
            sizes: Counter[tuple[int, int]] = Counter()
            tables = _tables(results, clip_job, stats, sizes)
            first = next(tables)
            dimensions = first.schema.field("embedding").type.list_size
            origin = {"sam": store.columns(names[0]).attributes.get("sam"), "clip": clip_job.origin}
            tables = itertools.chain([first], tables)
            count = embedding_table.write(embeddings, tables, dimensions, origin)
            cells.record(embeddings, job.KIND, stats.cell_keys)
    sam = origin["sam"]
    if not (isinstance(sam, dict) and sam.get("model") == "tiny"):  # else it was said of the masks
        tiny.warn("clip.model", clip.model, sizes.total() - sizes[tiny.ROOM_SIZE])
    views = ", ".join(clip.views)
    return f"embeddings: {count} rows for {len(names)} images, views: {views}; {stats.summary()}"


def _tables(
    results: Iterable[Result[job.ImageSource]],
    clip_job: job.ClipJob,
    stats: RunStats,
    sizes: Counter[tuple[int, int]],
) -> Iterator[pa.Table]:
    """Yield the rows of each image, counting `sizes`; at the end raise an error if one failed."""
    views = clip_job.description.settings.views
    for result in results:
        # Workers of a cluster read the store themselves, and send no columns.
        source = result.source
        columns = clip_job.store.columns(result.image) if source is None else source.columns
        sizes[columns.height, columns.width] += 1
        yield embedding_table.rows_of(columns, views, job.stack_views(result.parts))
    stats.expect_success("fail", "")
