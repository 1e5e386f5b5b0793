"""Patterns that picture something: paintings, views, flowers, rugs."""

import numpy as np

from demo.rooms.materials import Material
from demo.rooms.noise import SMOOTH, Values, colours_of, fraction, hashed, lookup, mix, weave_noise


def blossoms(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Scattered flowers of five petals."""
    first, second = colours_of(m)
    size = m.scale * 1.5
    i, j = np.floor(u / size), np.floor(v / size)
    a = fraction(u / size) - 0.35 - 0.3 * hashed(i, j)
    b = fraction(v / size) - 0.35 - 0.3 * hashed(j, i)
    radius = np.hypot(a, b)
    petal = 0.20 + 0.08 * np.cos(5 * np.arctan2(b, a) + 6.0 * hashed(i + 9, j))
    share = (radius < petal).astype(np.float32) - 0.5 * (radius < 0.07)
    return mix(first, second, share)


def damask(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Wallpaper of leaf-like ogees."""
    first, second = colours_of(m)
    a, b = u / m.scale * np.pi, v / (m.scale * 1.5) * np.pi
    field = np.sin(a) * np.sin(b) + 0.5 * np.cos(2 * a) * np.cos(2 * b)
    share = np.clip(field * 4.0, 0, 1) * (0.6 + 0.4 * (np.sin(4 * a) * np.sin(3 * b) > 0))
    return mix(first, second, share.astype(np.float32))


def marble(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Stone with dark veins."""
    first, second = colours_of(m)
    bend = lookup(SMOOTH, u * 0.3 + m.phase, v * 0.3)
    vein = np.abs(np.sin((u + v) * 5.0 + bend * 16.0))
    return mix(first, second, np.clip(1.0 - vein * 4.0, 0, 1) * 0.8 + 0.2 * bend)


def ornament(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Oriental rug: nested borders of diamonds, measured from the rug's middle."""
    first, second = colours_of(m)
    a, b = np.abs(fraction(u / m.scale) - 0.5), np.abs(fraction(v / m.scale) - 0.5)
    diamond = np.floor((a + b) * 5.0) % 2
    inner = (np.abs(a - 0.25) + np.abs(b - 0.25) < 0.09) * 1.0
    return mix(first, second, np.abs(diamond - inner) * 0.85) * weave_noise(u, v, 0.25)[:, None]


def waves(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Modern rug: wavy bands of three tones."""
    first, second = colours_of(m)
    bend = lookup(SMOOTH, u * 0.12 + m.phase, v * 0.12)
    share = np.floor(fraction((v + bend * 1.5) / (m.scale * 3)) * 3) / 2
    return mix(first, second, share) * weave_noise(u, v, 0.25)[:, None]


def painting(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """A picture: an abstract of blocks, blobs or hills, chosen by `phase`."""
    first, second = colours_of(m)
    style = int(m.phase * 4)
    n = lookup(SMOOTH, u * 0.4 + m.phase * 7, v * 0.4)
    third = np.clip(1.1 - second[::-1] * 0.8, 0, 1)
    if style == 0:
        i, j = np.floor(u / m.scale + 0.3 * np.floor(v / m.scale)), np.floor(v / m.scale * 0.7)
        pickone = hashed(i + np.floor(m.phase * 99), j)
        return np.where(pickone[:, None] < 0.6, mix(first, second, pickone), third)
    if style == 1:
        level = np.floor(n * 6) / 5
        return np.where((level > 0.7)[:, None], third, mix(first, second, level))
    if style == 2:
        sky = mix(first, np.float32(0.9) * np.ones(3, np.float32), np.clip(v * 2 + 0.5, 0, 1))
        hill = v < 0.12 * np.sin(u * 9 + m.phase * 40) + 0.2 * (n - 0.5)
        near = v < -0.12 + 0.1 * np.sin(u * 14 + m.phase * 20)
        ground = np.where(near[:, None], second * 0.6, second)
        return np.where(hill[:, None], ground, sky)
    rings = fraction(np.hypot(u, v * 1.2) / m.scale + n * 0.6)
    return np.where((rings < 0.3)[:, None], third, mix(first, second, (rings > 0.6) * 1.0))


def outdoors(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """What a window shows: sky, clouds, trees or houses; v is measured from the sill."""
    first, second = colours_of(m)
    cloud = lookup(SMOOTH, u * 0.08 + m.phase, v * 0.2)
    sky = mix(first, np.ones(3, np.float32), np.clip(cloud * 1.4 - 0.2, 0, 1))
    skyline = 0.25 + 0.5 * m.scale * hashed(np.floor(u * 3.0), np.float32(m.phase * 50))
    trees = 0.2 + 0.9 * m.scale * lookup(SMOOTH, u * 0.25 + m.phase, u * 0.0)
    edge = np.where(m.phase > 0.5, skyline, trees)
    low = second * (0.5 + lookup(SMOOTH, u * 0.9, v * 0.9))[:, None]
    return np.where((v < edge)[:, None], low, sky)


def screen(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """A television that is on: a blurred scene."""
    first, second = colours_of(m)
    n = lookup(SMOOTH, u * 0.15 + m.phase, v * 0.2)
    m2 = lookup(SMOOTH, u * 0.3, v * 0.3 + m.phase)
    return mix(mix(first, second, n), second[::-1], np.clip(m2 * 2 - 1, 0, 1))


def spines(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Books: every book of a row its own colour, with a title band; u counts books."""
    first, second = colours_of(m)
    base = mix(first, second, hashed(np.floor(u * 40.0)))
    band = np.abs(fraction(v * 4.0) - 0.7) < 0.06
    return np.where(band[:, None], base * 0.5 + 0.4, base)


def foliage(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Leaves: two greens and lighter ribs."""
    first, second = colours_of(m)
    return mix(first, second, lookup(SMOOTH, u * 1.3 + m.phase, v * 1.3))


def cardboard(m: Material, u: Values, v: Values, _pixel: Values) -> Values:
    """Corrugated board with a strip of tape along the middle of every side."""
    first, second = colours_of(m)
    tape = (np.abs(v) < 0.025).astype(np.float32)
    noise = 0.94 + 0.12 * lookup(SMOOTH, u * 0.2 + m.phase, v * 1.2)
    return mix(first, second, tape * 0.6) * noise[:, None]
