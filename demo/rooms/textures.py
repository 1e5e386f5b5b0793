"""Procedural patterns: from texture coordinates in metres to colours."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from demo.rooms.materials import Material
from demo.rooms.motifs import (
    blossoms,
    cardboard,
    damask,
    foliage,
    marble,
    ornament,
    outdoors,
    painting,
    screen,
    spines,
    waves,
)
from demo.rooms.noise import (
    FINE,
    SMOOTH,
    Values,
    colours_of,
    fraction,
    hashed,
    line,
    lookup,
    mix,
    weave_noise,
)


def plain(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """One colour, not quite even."""
    first, second = colours_of(m)
    return mix(first, second, lookup(SMOOTH, u * 0.2 + m.phase, v * 0.2))


def weave(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Coarse cloth."""
    return plain(m, u, v, pixel) * weave_noise(u, v, 0.22)[:, None]


def carpet(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Deep pile: two colours of yarn."""
    first, second = colours_of(m)
    share = 0.7 * lookup(FINE, u * 0.5, v * 0.5) + 0.3 * lookup(SMOOTH, u * 0.1, v * 0.1)
    return mix(first, second, share)


def leather(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Hide with worn patches."""
    first, second = colours_of(m)
    return mix(first, second * 0.85, lookup(SMOOTH, u * 0.7 + m.phase, v * 0.7))


def metal(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Polished: dark and bright bands stand for what it mirrors."""
    first, second = colours_of(m)
    return mix(first, second, lookup(SMOOTH, u * 0.05, v * 2.0))


def wood(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Grain along u."""
    first, second = colours_of(m)
    bend = lookup(SMOOTH, u * 0.12 + m.phase, v * 0.9 + m.phase)
    rings = 0.5 + 0.5 * np.sin(v * 45.0 / m.scale + bend * 34.0)
    fine = lookup(SMOOTH, u * 0.25, v * 4.0 + m.phase)
    fade = 1.0 / (1.0 + (pixel * 45.0 / m.scale) ** 2)
    return mix(first, second, 0.45 * bend + 0.35 * rings * fade + 0.35 * fine)


def planks(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Floor boards of width `scale`, staggered, each of its own tone."""
    row = np.floor(v / m.scale)
    shift = u + hashed(row) * 1.7
    length = m.scale * 7.0
    board = np.floor(shift / length)
    tone = 0.84 + 0.3 * hashed(row, board)
    grain = wood(m, u + 3.0 * hashed(board, row), v + row * 0.37, pixel) * tone[:, None]
    gap = line(fraction(v / m.scale) * m.scale, 0.004, pixel)
    gap = np.maximum(gap, line(fraction(shift / length) * length, 0.003, pixel))
    return grain * (1.0 - 0.6 * gap)[:, None]


def parquet(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Squares of strips, laid in turn along and across."""
    i, j = np.floor(u / m.scale), np.floor(v / m.scale)
    flip = ((i + j) % 2).astype(bool)
    a, b = np.where(flip, v, u), np.where(flip, u, v)
    strip = m.scale / 4
    tone = 0.82 + 0.32 * hashed(np.floor(b / strip), i * 3 + j * 7)
    gap = line(fraction(b / strip) * strip, 0.002, pixel)
    return wood(m, a, b + i * 0.13 + j * 0.41, pixel) * (tone * (1 - 0.45 * gap))[:, None]


def tiles(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Square tiles of edge `scale` in the first colour, joints in the second."""
    first, second = colours_of(m)
    i, j = np.floor(u / m.scale), np.floor(v / m.scale)
    edge = np.minimum(fraction(u / m.scale), fraction(v / m.scale)) * m.scale
    tone = 0.93 + 0.12 * hashed(i, j) + 0.1 * (lookup(SMOOTH, u * 0.3, v * 0.3) - 0.5)
    return mix(first * tone[:, None], second, line(edge, 0.007, pixel))


def chequer(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Tiles in two colours like a chess board."""
    first, second = colours_of(m)
    i, j = np.floor(u / m.scale), np.floor(v / m.scale)
    tone = 0.95 + 0.1 * lookup(SMOOTH, u * 0.4, v * 0.4)
    return mix(first, second, (i + j) % 2) * tone[:, None]


def bricks(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Stretcher bond: bricks in the first colour, mortar in the second."""
    first, second = colours_of(m)
    row = np.floor(v / m.scale)
    wide = m.scale * 2.9
    shift = u / wide + 0.5 * (row % 2)
    tone = 0.8 + 0.35 * hashed(np.floor(shift), row) + 0.25 * (lookup(FINE, u, v) - 0.5)
    joint = np.minimum(fraction(v / m.scale) * m.scale, fraction(shift) * wide)
    return mix(first * tone[:, None], second, line(joint, 0.011, pixel))


def stripes(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Stripes along u, `scale` a pair."""
    first, second = colours_of(m)
    share = (fraction(v / m.scale + m.phase) < 0.45).astype(np.float32)
    return mix(first, second, share) * weave_noise(u, v, 0.12)[:, None]


def checks(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Tartan: broad bands both ways, with a fine line."""
    first, second = colours_of(m)
    a, b = fraction(u / m.scale), fraction(v / m.scale)
    bands = 0.4 * (a < 0.4) + 0.4 * (b < 0.4) + 0.3 * (np.abs(a - 0.7) < 0.05)
    share = np.minimum(bands + 0.3 * (np.abs(b - 0.7) < 0.05), 1.0).astype(np.float32)
    return mix(first, second, share) * weave_noise(u, v, 0.12)[:, None]


def gingham(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Small even checks of two colours and their blend."""
    first, second = colours_of(m)
    share = 0.5 * (fraction(u / m.scale) < 0.5) + 0.5 * (fraction(v / m.scale) < 0.5)
    return mix(first, second, share.astype(np.float32))


def dots(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Dots in staggered rows."""
    first, second = colours_of(m)
    row = np.floor(v / m.scale)
    a = fraction(u / m.scale + 0.5 * (row % 2)) - 0.5
    b = fraction(v / m.scale) - 0.5
    share = (a * a + b * b < 0.07).astype(np.float32)
    return mix(first, second, share) * weave_noise(u, v, 0.1)[:, None]


def herringbone(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Zigzag lines."""
    first, second = colours_of(m)
    zigzag = np.abs(fraction(u / m.scale) - 0.5) * m.scale
    share = (fraction((v + zigzag) / (m.scale * 0.6)) < 0.5).astype(np.float32)
    return mix(first, second, share * 0.8)


def panels(m: Material, u: Values, v: Values, pixel: Values) -> Values:
    """Boarding: even boards across u with dark joints."""
    first, second = colours_of(m)
    tone = 0.93 + 0.1 * hashed(np.floor(u / m.scale))
    joint = line(fraction(u / m.scale) * m.scale, 0.008, pixel)
    base = mix(first, second, lookup(SMOOTH, u * 2.0, v * 0.15))
    return base * (tone * (1 - 0.45 * joint))[:, None]


def plaster(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Rough wall paint."""
    first, second = colours_of(m)
    share = 0.4 * lookup(SMOOTH, u * 0.08, v * 0.08) + 0.4 * lookup(SMOOTH, u * 1.1, v * 1.1)
    return mix(first, second, share)


Pattern = Callable[[Material, Values, Values, Values], NDArray[np.floating]]
PATTERNS: dict[str, Pattern] = {
    f.__name__: f
    for f in (
        plain, weave, carpet, leather, metal, wood, planks, parquet, tiles, chequer, bricks,
        stripes, checks, gingham, dots, herringbone, blossoms, damask, panels, plaster, marble,
        ornament, waves, painting, outdoors, screen, spines, foliage, cardboard,
    )
}  # fmt: skip


def colour(material: Material, u: Values, v: Values, pixel: Values) -> NDArray[np.float32]:
    """(N, 3) display colours, 0 to 1, at texture coordinates (N,) in metres.

    `pixel` (N,) is the width of a pixel on the surface in metres: lines finer than that fade.
    """
    found = PATTERNS[material.kind](material, u, v, pixel)
    return np.clip(found, 0.0, 1.0).astype(np.float32)
