"""Noise tables and the small tools that patterns are made of."""

import numpy as np
from numpy.typing import NDArray

from demo.rooms.materials import Material

Values = NDArray[np.floating]


_SIZE = 512


_MASK = _SIZE - 1


def _noise_table(slope: float, seed: int) -> Values:
    """(512, 512) tileable noise in 0 to 1 whose spectrum falls with frequency ** -slope."""
    frequency = np.fft.fftfreq(_SIZE) * _SIZE
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1.0
    white = np.random.default_rng(seed).standard_normal((_SIZE, _SIZE))
    field = np.fft.ifft2(np.fft.fft2(white) / np.maximum(radius, 3.0) ** slope).real
    field /= field.std() * 5.0
    return np.clip(field + 0.5, 0.0, 1.0).astype(np.float32)


SMOOTH = _noise_table(1.5, 1)


FINE = _noise_table(0.3, 2)


_RANDOM = np.random.default_rng(3).random(4096, np.float32)


def lookup(table: Values, u: Values, v: Values) -> Values:
    i = np.floor(u * _SIZE).astype(np.int32) & _MASK
    j = np.floor(v * _SIZE).astype(np.int32) & _MASK
    return table.ravel()[i * _SIZE + j]


def hashed(i: Values, j: Values | np.floating | float = 0.0) -> Values:
    key = (i * 127 + j * 311).astype(np.int32) & 4095
    return _RANDOM[key]


def mix(first: Values, second: Values, share: Values) -> Values:
    return first + (second - first) * share[:, None]


def colours_of(m: Material) -> tuple[Values, Values]:
    return np.asarray(m.first, np.float32), np.asarray(m.second, np.float32)


def fraction(x: Values) -> Values:
    return x - np.floor(x)


def line(distance: Values, width: float, pixel: Values) -> Values:
    """Cover (0 to 1) of a line: never thinner than a pixel, but fainter instead."""
    wide = np.maximum(pixel, width)
    return (distance < wide) * (width / wide)


def weave_noise(u: Values, v: Values, amount: float) -> Values:
    return 1.0 + amount * (lookup(FINE, u * 0.9, v * 0.9) - 0.5)
