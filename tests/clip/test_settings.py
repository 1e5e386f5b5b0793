from typing import Any

import pydantic
import pytest

from maskquery.clip.settings import Settings

RIGHT = {
    "tier": "exact",
    "views": ("crop", "masked"),
    "crop_padding": 0.1,
    "crop_shape": "pad",
    "mirrored": False,
    "clahe": 0,
}


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("tier", "slow"),
        ("views", ()),
        ("views", ("crop", "crop")),
        ("views", ("crop", "cropped")),
        ("views", "crop"),
        ("crop_padding", -0.1),
        ("crop_padding", 1.1),
        ("crop_padding", float("inf")),
        ("crop_shape", "center"),
    ],
)
def test_out_of_range(key: str, wrong: Any) -> None:
    Settings(**RIGHT)
    with pytest.raises(pydantic.ValidationError, match=key):
        Settings(**(RIGHT | {key: wrong}))
