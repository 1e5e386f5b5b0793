"""CLAHE: contrast-limited adaptive histogram equalisation, before SAM or CLIP sees an image."""

from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

Pixels = npt.NDArray[np.uint8]

Limit = Annotated[float, Field(ge=0, le=40)]
"""OpenCV's clip limit, usually 2 to 4; 0 leaves the image as it is."""

TILES = (8, 8)  # OpenCV's own


def equalised(image: Pixels, limit: float) -> Pixels:
    """The image with its lightness (L of CIE Lab) equalised, its colours kept: (H, W, 3) RGB."""
    if not limit:
        return image
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, TILES).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
