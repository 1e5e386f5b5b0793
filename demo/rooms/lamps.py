"""Lamps that stand, hang or lie under the ceiling."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import ellipsoid, lathe, rod, rounded, tube
from demo.rooms.item import LAMP, Item
from demo.rooms.materials import (
    COLOURS,
    Material,
    chance,
    jittered,
    metal,
    pick,
    plastic,
    solid,
    wood,
)


def _shade(rng: Generator, lit: bool) -> Material:
    name = pick(rng, ("white", "cream", "cream", "yellow", "orange", "light grey", "red", "teal"))
    colour = jittered(rng, COLOURS[name], 0.03)
    return Material("plain", colour, colour, glow=1.6 if lit else 0.0, word="fabric", colour=name)


def floor_lamp(rng: Generator, lit: bool) -> Item:
    """A lamp on a pole: straight, on a tripod or as an arc."""
    item = Item(LAMP, "floor lamp")
    frame, shade = metal(rng), _shade(rng, lit)
    style = pick(rng, ("pole", "pole", "tripod", "arc"))
    top = float(rng.uniform(1.35, 1.7))
    x = 0.0
    if style == "tripod":
        frame = wood(rng)
        for k in range(3):
            a = k * 2.094
            item.add(
                "tripod", frame, rod((0.28 * np.cos(a), 0.28 * np.sin(a), 0), (0, 0, top), 0.018)
            )
    else:
        item.add("foot", frame, lathe([(0, 0), (0.15, 0), (0.15, 0.02), (0.03, 0.04), (0, 0.04)]))
        path = np.array([(0, 0, 0), (0, 0, top / 2), (0, 0, top)])
        if style == "arc":
            item.design, x = "arc lamp", 0.6
            path = rounded([(0, 0, 0), (0, 0, top + 0.3), (x, 0, top + 0.25), (x, 0, top)], 0.4, 8)
        item.add("pole", frame, tube(path, 0.015))
    low, high, tall = rng.uniform(0.17, 0.24), rng.uniform(0.08, 0.17), rng.uniform(0.2, 0.32)
    if style == "arc":
        item.add("shade", shade, ellipsoid((0.16, 0.16, 0.12), (x, 0, top)))
    else:
        item.add("shade", shade, lathe([(low, top - 0.1), (high, top - 0.1 + tall)]))
    return item


def table_lamp(rng: Generator, lit: bool) -> Item:
    """A lamp for tables: a turned foot with a shade, or a jointed reading lamp."""
    item = Item(LAMP, "table lamp")
    if chance(rng, 0.35):
        item.design, frame = "desk lamp", metal(rng)
        item.add("foot", frame, lathe([(0, 0), (0.09, 0), (0.09, 0.02), (0, 0.03)]))
        item.add(
            "arm",
            frame,
            rod((0, 0, 0.02), (0, -0.12, 0.26), 0.012),
            rod((0, -0.12, 0.26), (0, 0.1, 0.42), 0.012),
        )
        item.add("shade", frame, rod((0, 0.08, 0.44), (0, 0.17, 0.36), 0.03, 0.08))
        return item
    foot = pick(rng, (wood, metal, plastic))(rng)
    profile = [
        (0, 0),
        (0.07, 0),
        (0.07, 0.02),
        (0.03, 0.05),
        (0.06, 0.12),
        (0.02, 0.2),
        (0.015, 0.3),
    ]
    item.add("foot", foot, lathe(profile))
    item.add("shade", _shade(rng, lit), lathe([(0.15, 0.26), (0.09, 0.45)]))
    return item


def pendant(rng: Generator, ceiling: float, lit: bool) -> Item:
    """A lamp that hangs from the ceiling at height `ceiling`; z = 0 is the floor."""
    item = Item(LAMP, "pendant lamp")
    drop = float(rng.uniform(0.5, 0.95)) if ceiling > 2.5 else 0.4
    z = ceiling - drop
    item.add("cable", solid((0.1, 0.1, 0.1)), rod((0, 0, z + 0.1), (0, 0, ceiling), 0.006))
    shade = _shade(rng, lit) if chance(rng, 0.6) else metal(rng)
    style = pick(rng, ("cone", "globe", "drum", "bowl"))
    r = float(rng.uniform(0.16, 0.26))
    if style == "globe":
        item.add("globe", _shade(rng, lit), ellipsoid((r * 0.8, r * 0.8, r * 0.8), (0, 0, z)))
    else:
        outline = {
            "cone": [(r, z - 0.05), (0.04, z + 0.18)],
            "drum": [(r, z - 0.1), (r, z + 0.12)],
            "bowl": [(r, z), (r * 0.9, z + 0.07), (r * 0.6, z + 0.13), (0.02, z + 0.17)],
        }[style]
        item.add("shade", shade, lathe(outline))
        bulb = Material("plain", (1, 0.97, 0.9), (1, 0.97, 0.9), glow=2.5 if lit else 0.3)
        item.add("", bulb, ellipsoid((0.04, 0.04, 0.05), (0, 0, z + 0.02)))
    return item


def ceiling_lamp(rng: Generator, ceiling: float, lit: bool) -> Item:
    """A flat lamp under the ceiling."""
    item = Item(LAMP, "ceiling lamp")
    r = float(rng.uniform(0.16, 0.28))
    glass = Material(
        "plain",
        (0.97, 0.95, 0.9),
        (0.97, 0.95, 0.9),
        1,
        0.2,
        2.2 if lit else 0.1,
        word="glass",
        colour="white",
    )
    dome = [(0.0, ceiling - 0.1), (r * 0.7, ceiling - 0.085), (r, ceiling - 0.03), (r, ceiling)]
    item.add("shade", glass, lathe(dome))
    return item
