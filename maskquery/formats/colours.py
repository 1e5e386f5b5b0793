"""Colours for classes, where a format asks for them."""

import numpy as np
import numpy.typing as npt


def palette(count: int) -> npt.NDArray[np.uint8]:
    """Pascal VOC's colours, (N, 3): three bits of the number at a time, from each colour's top."""
    numbers = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for shift in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * shift + channel)) & 1
            colours[:, channel] |= (bit << (7 - shift)).astype(np.uint8)
    return colours
