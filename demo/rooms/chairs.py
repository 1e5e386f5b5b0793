"""Chairs: a dozen designs that differ in build, not only in size and colour.

Every chair faces +y; its seat is about 0.45 m wide, deep and high before the final stretch.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import cushion, rod, rounded, shell, tube
from demo.rooms.geometry import beam, box, pitch, prism, transformed
from demo.rooms.item import CHAIR, Item
from demo.rooms.materials import Material, chance, fabric, metal, painted, pick, plastic, wood
from demo.rooms.seats import (
    cantilever,
    cover_for,
    lounge,
    moulded,
    office,
    parsons,
    round_legs,
    square_legs,
    stool,
    tub,
)


def _frame(rng: Generator) -> Material:
    return wood(rng) if chance(rng, 0.65) else painted(rng)


def kitchen(rng: Generator) -> Item:
    """Wooden kitchen chair: back posts with rungs, slats or a cross between them."""
    item = Item(CHAIR, "kitchen chair")
    frame = _frame(rng)
    w, d, h = 0.44, 0.42, 0.45
    thick, top, lean = float(rng.uniform(0.034, 0.05)), float(rng.uniform(0.82, 1.0)), 0.09
    x, back = w / 2 - thick / 2, -d / 2 + thick / 2
    legs = [
        prism((s * x, d / 2 - thick / 2, 0), (s * x, d / 2 - thick / 2, h), (thick, thick))
        for s in (-1, 1)
    ]
    legs += [prism((s * x, back - 0.03, 0), (s * x, back, h), (thick, thick)) for s in (-1, 1)]
    item.add("legs", frame, *legs)
    posts = [prism((s * x, back, h), (s * x, back - lean, top), (thick, thick)) for s in (-1, 1)]

    def at(z: float) -> float:
        return back - lean * (z - h) / (top - h)

    style = pick(rng, ("rungs", "slats", "cross"))
    rail = float(rng.uniform(0.05, 0.09))
    ends = [beam((-x, at(z), z), (x, at(z), z), 0.024, rail) for z in (top - rail / 2,)]
    if style == "rungs":
        levels = np.linspace(h + 0.12, top - rail - 0.06, int(rng.integers(2, 4)))
        bars = [beam((-x, at(z), z), (x, at(z), z), 0.022, rail * 0.8) for z in levels]
    else:
        low = h + 0.08
        ends.append(beam((-x, at(low), low), (x, at(low), low), 0.024, 0.045))
        up = top - rail
        if style == "slats":
            spots = np.linspace(-x, x, int(rng.integers(4, 7)))[1:-1]
            bars = [prism((s, at(low), low), (s, at(up), up), (0.036, 0.018)) for s in spots]
        else:
            bars = [beam((-s * x, at(low), low), (s * x, at(up), up), 0.02, 0.04) for s in (-1, 1)]
    item.add("back", frame, *posts, *ends, *bars)
    if chance(rng, 0.6):
        item.add(
            "",
            frame,
            *[beam((s * x, back, 0.18), (s * x, d / 2, 0.18), 0.025, 0.03) for s in (-1, 1)],
            beam((-x, 0, 0.18), (x, 0, 0.18), 0.025, 0.03),
        )
    item.add("seat", frame, box((w, d + 0.02, 0.035), (0, 0.01, h)))
    if chance(rng, 0.45):
        item.add("cushion", fabric(rng), cushion((w - 0.03, d - 0.05, 0.05), (0, 0.0, h + 0.04)))
    return item


def carver(rng: Generator) -> Item:
    """Dining chair with wooden arms and padded seat and back."""
    item = Item(CHAIR, "armchair")
    frame, cover = _frame(rng), cover_for(rng)
    w, d, h, thick = 0.54, 0.5, 0.43, float(rng.uniform(0.04, 0.055))
    item.add("legs", frame, *square_legs(thick / 2, w, d, h, thick, 0.015))
    item.add("frame", frame, box((w, d, 0.05), (0, 0, h - 0.02)))
    item.add("seat", cover, cushion((w - 0.03, d - 0.02, 0.11), (0, 0.01, h + 0.05), 0.3))
    back = cushion((w - 0.06, 0.09, 0.46), (0, 0, 0.23), 0.3)
    item.add("back", cover, transformed(back, pitch(0.16), (0, -d / 2 + 0.06, h + 0.05)))
    for s in (-1, 1):
        x = s * (w / 2 - 0.015)
        item.add(
            "armrests",
            frame,
            beam((x, d / 2 - 0.06, h), (x, d / 2 - 0.1, h + 0.21), 0.04, 0.04),
            beam((x, -d / 2 - 0.02, h + 0.23), (x, d / 2 - 0.06, h + 0.22), 0.055, 0.032),
        )
        item.add("", frame, prism((x, -d / 2 + 0.02, h), (x, -d / 2 - 0.05, h + 0.4), (0.04, 0.04)))
    return item


def folding(rng: Generator) -> Item:
    """Folding chair with crossed legs."""
    item = Item(CHAIR, "folding chair")
    frame = metal(rng) if chance(rng, 0.4) else _frame(rng)
    slats = frame if chance(rng, 0.6) else painted(rng)
    w, h = 0.44, 0.45
    for s in (-1, 1):
        x = s * w / 2
        item.add(
            "crossed legs",
            frame,
            beam((x, 0.26, 0), (x, -0.26, 0.86), 0.026, 0.04),
            beam((x * 0.88, -0.26, 0), (x * 0.88, 0.18, h), 0.026, 0.04),
        )
    item.add(
        "",
        frame,
        beam((-w / 2, 0.2, 0.1), (w / 2, 0.2, 0.1), 0.025, 0.03),
        beam((-w / 2, -0.2, 0.07), (w / 2, -0.2, 0.07), 0.025, 0.03),
    )
    if chance(rng, 0.6):
        for y in np.linspace(-0.14, 0.19, 5):
            item.add("slatted seat", slats, box((w - 0.05, 0.065, 0.018), (0, y, h + 0.01)))
    else:
        item.add("seat", slats, cushion((w - 0.05, 0.4, 0.05), (0, 0.03, h + 0.01), 0.25))
    for z in (0.68, 0.79):
        y = 0.26 - 0.52 * z / 0.86
        board = box((w - 0.02, 0.018, 0.075), (0, 0, 0))
        item.add("back", slats, transformed(board, pitch(0.5), (0, y + 0.01, z)))
    return item


def windsor(rng: Generator) -> Item:
    """Windsor chair: spindles under a bent bow, legs spread outwards."""
    item = Item(CHAIR, "windsor chair")
    frame = _frame(rng)
    h = 0.44
    item.add("seat", frame, cushion((0.46, 0.44, 0.05), (0, 0, h), 0.5))
    item.add("legs", frame, *round_legs(0.3, 0.28, h, 0.021, 0.07))
    item.add(
        "",
        frame,
        rod((-0.2, 0.0, 0.2), (0.2, 0.0, 0.2), 0.013),
        *[rod((s * 0.19, -0.18, 0.2), (s * 0.19, 0.18, 0.2), 0.013) for s in (-1, 1)],
    )
    top = float(rng.uniform(0.42, 0.56))
    t = np.linspace(0, np.pi, 15)
    x, z = 0.2 * np.cos(t), h + top * np.sin(t) ** 0.6
    y = -0.15 - 0.12 * (z - h) / top
    item.add("bow", frame, tube(np.stack([x, y, z], 1), 0.017))
    for k in np.linspace(-0.8, 0.8, int(rng.integers(5, 8))):
        a = np.arccos(k)
        height = h + top * np.sin(a) ** 0.6
        lean = -0.15 - 0.12 * (height - h) / top
        item.add("spindles", frame, rod((k * 0.17, -0.16, h), (k * 0.2, lean, height), 0.011))
    if chance(rng, 0.3):
        arm = [(0.2, -0.2, h + 0.23), (0.27, 0.0, h + 0.22), (0.26, 0.16, h + 0.22)]
        for s in (-1, 1):
            path = np.array(arm) * (s, 1, 1)
            item.add("armrests", frame, tube(path, 0.02), rod(path[-1], (s * 0.2, 0.14, h), 0.013))
    return item


def school(rng: Generator) -> Item:
    """Stacking chair: steel tube legs with a plywood or plastic seat and back."""
    item = Item(CHAIR, "stacking chair")
    frame = metal(rng)
    board = wood(rng) if chance(rng, 0.5) else plastic(rng)
    h, r = 0.45, 0.014
    for s in (-1, 1):
        x = s * 0.19
        item.add(
            "steel legs",
            frame,
            tube(rounded([(x * 1.1, 0.23, 0), (x, 0.16, h - 0.02), (x, -0.2, h - 0.03)], 0.06), r),
            tube(rounded([(x * 1.1, -0.26, 0), (x, -0.17, h), (x, -0.26, 0.84)], 0.1), r),
        )
    across = np.linspace(-1, 1, 9)
    y = np.linspace(-0.19, 0.2, 6)
    seat = np.stack(
        [
            np.stack([across * 0.21, np.full(9, v), h - 0.01 * (v > 0.15) + 0.012 * across**2], 1)
            for v in y
        ]
    )
    item.add("seat", board, shell(seat, -0.02))
    z = np.linspace(0.62, 0.86, 4)
    back = np.stack(
        [
            np.stack([across * 0.21, -0.235 - 0.2 * (v - 0.6) + 0.05 * across**2, np.full(9, v)], 1)
            for v in z
        ]
    )
    item.add("back", board, shell(back, 0.018))
    return item


DESIGNS: dict[str, Callable[[Generator], Item]] = {
    f.__name__: f
    for f in (
        kitchen, office, carver, stool, tub, cantilever,
        folding, parsons, windsor, moulded, lounge, school,
    )
}  # fmt: skip
DINING = ("kitchen", "carver", "cantilever", "folding", "parsons", "windsor", "moulded", "school")
EASY = ("tub", "lounge", "carver", "tub", "lounge", "cantilever", "moulded")
DESK = ("office", "office", "office", "office", "moulded", "kitchen", "cantilever", "school")


COMMON = (*(name for name in DESIGNS), "stool", "kitchen", "windsor", "office")


def make(rng: Generator, design: str) -> Item:
    """A chair of the design, a little stretched."""
    stretch = rng.uniform(0.94, 1.08, 3)
    return DESIGNS[design](rng).scaled(*(float(v) for v in stretch))
