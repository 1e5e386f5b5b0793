"""embeddings: every mask's crops through CLIP's image encoder -> data/embeddings.parquet."""

from pathlib import Path

from maskquery.clip.run import write_embeddings
from maskquery.clip.settings import ClipParams
from maskquery.core import console, params

MASKS = Path("data/masks.zarr")
EMBEDDINGS = Path("data/embeddings.parquet")


class Params(params.Section):
    """What params.yaml says to this stage."""

    images: params.Folder
    clip: ClipParams


def run(masks: Path, embeddings: Path, settings: Params) -> str:
    """Write the table `embeddings`; the closing line."""
    return write_embeddings(settings.images, masks, embeddings, clip=settings.clip)


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(MASKS, EMBEDDINGS, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
