"""What the tiny models are for: the demo's rooms, which all have one size, and nothing else."""

from maskquery.core import console

ROOM_SIZE = (384, 512)
"""Height and width of the demo's rooms, pixels. Images of another size are none of them."""


def warn(key: str, model: str, others: int) -> None:
    """Say in one line on stderr that a result means nothing, if it does.

    Args:
        key: "sam.model" or "clip.model".
        model: its value.
        others: how many of the images are of another size than `ROOM_SIZE`.
    """
    if model == "tiny" and others:
        console.log(
            f"{key} tiny was trained on the demo's rooms: for {others} images that are none of "
            "them the result means nothing (docs/models.md has models for photos)"
        )
