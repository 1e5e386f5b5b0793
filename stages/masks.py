"""masks: every image through SAM's automatic mask generation -> data/masks.zarr."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from retrieval import checkpoints, cli, images, mask_store, params
from retrieval.masks import ImageMasks, image_masks
from retrieval.sam.settings import Settings

MASKS = Path("data/masks.zarr")


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
    sam: SamParams


def run(masks: Path, settings: Params) -> str:
    """Write the store `masks`; the closing line.

    Raises:
        UserError: an image cannot be read, or the checkpoint cannot be had.
    """
    paths = images.find(settings.images)
    for path in paths.values():
        images.size(path)  # what is no image is refused now, and not after hours
    counts: list[int] = []

    def counted() -> Iterator[ImageMasks]:
        for stack in generate(paths, settings.sam):
            counts.append(len(stack.ids))
            yield stack

    mask_store.write(masks, counted())
    without = f", {counts.count(0)} of them without any" if 0 in counts else ""
    return f"masks: {sum(counts)} masks in {len(paths)} images{without}"


def generate(paths: Mapping[str, Path], sam: SamParams) -> Iterator[ImageMasks]:
    """The masks of each image, in `shard_order`."""
    # Imported here: wrong params and images are to be told before torch is loaded.
    from retrieval import device
    from retrieval.sam import generator, loading

    find_masks = generator.MaskGenerator(loading.load(sam.model, device.pick()), sam)
    origin = {**sam.model_dump(), "sha256": checkpoints.find("sam", sam.model).sha256}
    for image in cli.progress(mask_store.shard_order(paths), len(paths), "masks"):
        pixels = images.read(paths[image])
        found = find_masks(pixels)
        yield image_masks(image, pixels.shape[1], **vars(found), attributes={"sam": origin})


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, params.load(Params))


if __name__ == "__main__":
    cli.run_stage(main)
