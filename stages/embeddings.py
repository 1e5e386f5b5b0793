"""embeddings: every mask's crops through CLIP's image encoder -> data/embeddings.parquet."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic

from retrieval import checkpoints, cli, embedding_table, images, mask_store, params
from retrieval.clip.crops import Pixels, cut
from retrieval.clip.settings import Settings
from retrieval.errors import UserError
from retrieval.masks import ImageMasks

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
        UserError: an input is missing or damaged, or the checkpoint cannot be had.
    """
    paths = images.find(settings.images)
    with mask_store.Store(masks) as store:
        rows = embed(store, paths, settings.clip, embeddings)
        views = ", ".join(settings.clip.views)
        return f"embeddings: {rows} rows for {len(store.images())} images, views: {views}"


def embed(
    store: mask_store.Store, paths: Mapping[str, Path], clip: ClipParams, embeddings: Path
) -> int:
    """Encode and write image after image; the number of rows."""
    # Imported here: wrong params and files are to be told before torch is loaded.
    from retrieval import device
    from retrieval.clip import encoder, loading

    model = loading.load(clip.model, device.pick())
    dimensions, names = encoder.dimensions(model), store.images()
    # A batch goes across images. Crops are cut ahead of the rows that are written, and `tee` keeps
    # the images in between: as many as it takes to fill a batch.
    ahead, behind = itertools.tee(store.read(name) for name in names)
    crops = cut_all(ahead, paths, clip, encoder.resolution(model))
    vectors = encoder.encode_stream(model, crops)

    def rows() -> Iterator[Any]:
        for masks in cli.progress(behind, len(names), "embeddings"):
            shape = (len(masks.ids), len(clip.views), dimensions)
            own = list(itertools.islice(vectors, shape[0] * shape[1]))
            stack = np.array(own, np.float32).reshape(shape)
            yield embedding_table.rows_of(masks, clip.views, stack)

    sha256 = checkpoints.find("clip", clip.model).sha256
    metadata = {
        "sam": store.attributes(names[0]).get("sam"),
        "clip": {**clip.model_dump(), "sha256": sha256},
    }
    return embedding_table.write(embeddings, rows(), dimensions, metadata)


def cut_all(
    stacks: Iterable[ImageMasks], paths: Mapping[str, Path], clip: ClipParams, resolution: int
) -> Iterator[Pixels]:
    """The crops of all masks, views within masks, (R, R, 3) uint8 each."""
    for masks in stacks:
        if not len(masks.ids):
            continue
        pixels = read_image(masks, paths)
        for box, mask in zip(masks.boxes, masks.masks, strict=True):
            yield from cut(pixels, box, mask, clip, resolution)


def read_image(masks: ImageMasks, paths: Mapping[str, Path]) -> Pixels:
    """The image that the masks are of, refused if it is another one by now."""
    if masks.image not in paths:
        raise UserError(f"the image {masks.image!r} has masks but no file: run `dvc repro`")
    pixels = images.read(paths[masks.image])
    height, width = pixels.shape[:2]
    if (height, width) != (masks.height, masks.width):
        raise UserError(
            f"{paths[masks.image]} has {width} x {height} pixels, its masks "
            f"{masks.width} x {masks.height}: run `dvc repro`"
        )
    return pixels


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, EMBEDDINGS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
