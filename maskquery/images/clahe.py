"""CLAHE: contrast-limited adaptive histogram equalisation, before SAM or CLIP sees an image."""

from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

Pixels = npt.NDArray[np.uint8]

Limit = Annotated[float, Field(ge=0, le=40)]
"""OpenCV's clip limit, usually 2 to 4; 0 turns CLAHE off."""

TILES = (8, 8)  # OpenCV's default


def equalise(image: Pixels, limit: float) -> Pixels:
    """Equalise an image's lightness (L of CIE Lab) and keep its colours.

    >>> dark = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8) // 8
    >>> int(dark.max()), int(equalise(dark, 3.0).max()) > 60
    (31, True)

    Args:
        image: (H, W, 3) uint8 RGB.
        limit: OpenCV's clip limit; 0 returns the image itself.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not limit:
        return image
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, TILES).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
