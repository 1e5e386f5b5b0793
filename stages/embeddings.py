"""embeddings: every mask's crops through CLIP's image encoder -> data/embeddings.parquet."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pydantic

from retrieval import cells, checkpoints, cli, cluster, embedding_table, images, params, per_image
from retrieval.clip import work
from retrieval.clip.settings import Settings
from retrieval.mask_store import Store
from retrieval.masks import MaskColumns

MASKS = Path("data/masks.zarr")
EMBEDDINGS = Path("data/embeddings.parquet")


def _known(model: str) -> str:
    if model not in checkpoints.names("clip"):
        raise ValueError(f"must be one of {', '.join(checkpoints.names('clip'))}")
    return model


class ClipParams(Settings):
    """Which CLIP, and what it is shown of a mask."""

    model: Annotated[str, pydantic.AfterValidator(_known)]


class Params(params.Section):
    """What params.yaml says to this stage."""

    images: params.Folder
    clip: ClipParams


def run(masks: Path, embeddings: Path, settings: Params) -> str:
    """Write the table `embeddings`; the closing line.

    Raises:
        UserError: an input is missing or damaged, an image failed, or the checkpoint cannot be had.
    """
    paths, clip = images.find(settings.images), settings.clip
    with Store(masks) as store:
        names = store.images()
        tally = per_image.Tally(len(names))
        columns: dict[str, MaskColumns] = {}
        own = work.Work(store, paths, clip.model, clip, columns)

        def found() -> Iterator[tuple[str, dict[str, bytes]]]:
            side_cache = cells.Cells(work.KIND)
            if cluster.wanted():
                make = work.Maker(masks, clip.model, clip)
                return cluster.results(names, paths, make, side_cache, tally, threads=1)
            return per_image.results(names, own.look, own.compute, side_cache, tally, threads=1)

        def rows() -> Iterator[pa.Table]:
            for image, parts in found():
                # Workers look at the masks themselves, and leave this to be read.
                known = columns.pop(image, None) or store.columns(image)
                yield embedding_table.rows_of(known, clip.views, work.stacked(parts))
            per_image.expect_success(tally, "fail", "")

        with cells.held(embeddings), tally.interruptible():
            tables = rows()
            first = next(tables)
            dimensions = first.schema.field("embedding").type.list_size
            origin = {"sam": store.attributes(names[0]).get("sam"), "clip": own.origin}
            tables = itertools.chain([first], tables)
            count = embedding_table.write(embeddings, tables, dimensions, origin)
            cells.record(embeddings, work.KIND, tally.used)
    views = ", ".join(clip.views)
    return f"embeddings: {count} rows for {len(names)} images, views: {views}; {tally.summary()}"


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, EMBEDDINGS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
