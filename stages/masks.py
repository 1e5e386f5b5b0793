"""masks: every image through SAM's automatic mask generation -> data/masks.zarr."""

from pathlib import Path
from typing import Annotated

import pydantic

from maskquery.core import console, params
from maskquery.jobs.stats import OnError
from maskquery.sam.run import write_masks
from maskquery.sam.settings import SamParams

MASKS = Path("data/masks.zarr")
FAILURES = Path("metrics/failures.json")


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        images: a folder of images, loose or in `.zip` and `.tar` archives; one archive; or a
            listing of a bucket, made by `maskquery list`.
        max_pixels: an image with more pixels fails (decompression bombs).
        on_error: what happens when images failed, after all others are done: `fail` ends the stage
            with an error, `skip` goes on without them. metrics/failures.json names them.
    """

    images: params.Folder
    max_pixels: Annotated[int, pydantic.Field(ge=1)]
    on_error: OnError
    sam: SamParams


def run(masks: Path, failures: Path, settings: Params) -> str:
    """Write the store `masks`, and which images failed; the closing line."""
    return write_masks(
        settings.images,
        masks,
        failures,
        max_pixels=settings.max_pixels,
        on_error=settings.on_error,
        sam=settings.sam,
    )


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, FAILURES, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
