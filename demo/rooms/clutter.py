"""Boxes, curtains and the small things that lie about."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import ellipsoid, lathe, rod, surface
from demo.rooms.geometry import beam, box, boxes, pane, pitch, transformed
from demo.rooms.item import BOX, Item
from demo.rooms.materials import (
    COLOURS,
    DARK,
    PALE,
    VIVID,
    Material,
    any_colour,
    fabric,
    jittered,
    pick,
    plastic,
    solid,
    wood,
)


def carton(rng: Generator) -> Item:
    """A cardboard box, open or closed, a storage box or a chest."""
    item = Item(BOX, "box")
    w, d, h = (float(v) for v in rng.uniform((0.25, 0.22, 0.18), (0.6, 0.45, 0.45)))
    style = pick(rng, ("cardboard", "cardboard", "open", "storage", "crate"))
    if style in ("cardboard", "open"):
        brown = jittered(rng, (0.66, 0.50, 0.33), 0.04)
        board = Material(
            "cardboard",
            brown,
            (0.85, 0.78, 0.62),
            1,
            0.02,
            phase=float(rng.random()),
            word="cardboard",
            colour="light brown",
        )
        item.design = "cardboard box"
    else:
        board = plastic(rng) if style == "storage" else wood(rng, "pine")
        item.design = "storage box" if style == "storage" else "wooden crate"
    if style == "crate":
        for z in np.arange(0.05, h, 0.11):
            item.add(
                "boards",
                board,
                *[box((w, 0.015, 0.085), (0, s * d / 2, z)) for s in (-1, 1)],
                *[box((0.015, d, 0.085), (s * w / 2, 0, z)) for s in (-1, 1)],
            )
        item.add("", board, box((w, d, 0.015), (0, 0, 0.01)))
        return item
    if style != "open":
        item.add("body", board, box((w, d, h), (0, 0, h / 2)))
        if style == "storage":
            item.add("lid", plastic(rng), box((w + 0.02, d + 0.02, 0.04), (0, 0, h)))
        return item
    item.add(
        "sides",
        board,
        *[box((w, 0.01, h), (0, s * d / 2, h / 2)) for s in (-1, 1)],
        *[box((0.01, d, h), (s * w / 2, 0, h / 2)) for s in (-1, 1)],
        box((w, d, 0.01), (0, 0, 0.01)),
    )
    for s in (-1, 1):
        item.add(
            "flaps",
            board,
            beam(
                (s * w / 2, 0, h),
                (s * (w / 2 + d * 0.4), 0, h + float(rng.uniform(-0.1, 0.12))),
                d,
                0.008,
            ),
        )
    return item


def clutter(rng: Generator) -> Item:
    """A small thing for a table top; it has no class of its own (label 0)."""
    name = pick(
        rng,
        (
            "bottle",
            "vase",
            "bowl",
            "books",
            "books",
            "mug",
            "plates",
            "candle",
            "fruit bowl",
            "laptop",
        ),
    )
    item = Item(0, name)
    glaze = plastic(rng, any_colour(rng))
    if name == "bottle":
        glass = solid(
            pick(rng, ((0.12, 0.28, 0.14), (0.3, 0.16, 0.07), (0.6, 0.72, 0.74))),
            0.8,
            "glass",
            "green",
        )
        item.add(
            "",
            glass,
            lathe([(0, 0), (0.037, 0), (0.037, 0.18), (0.014, 0.24), (0.014, 0.31), (0, 0.31)]),
        )
    elif name == "vase":
        item.add(
            "vase", glaze, lathe([(0, 0), (0.05, 0), (0.08, 0.09), (0.035, 0.2), (0.05, 0.24)])
        )
        petals = solid(jittered(rng, COLOURS[pick(rng, VIVID)]), 0.0)
        for _ in range(7):
            top = (*rng.uniform(-0.11, 0.11, 2), rng.uniform(0.33, 0.46))
            item.add("flowers", petals, ellipsoid((0.035, 0.035, 0.025), top, 5, 8))
            item.add("", solid((0.2, 0.4, 0.18)), rod((0, 0, 0.2), top, 0.004))
    elif name in ("bowl", "fruit bowl"):
        item.add(
            "bowl",
            glaze,
            lathe([(0, 0), (0.06, 0), (0.12, 0.07), (0.13, 0.09), (0.11, 0.07), (0, 0.02)]),
        )
        if name == "fruit bowl":
            fruit = solid(pick(rng, ((0.8, 0.3, 0.1), (0.55, 0.66, 0.2), (0.7, 0.13, 0.12))), 0.3)
            for x, y in ((0.04, 0), (-0.03, 0.04), (-0.02, -0.05)):
                item.add("fruit", fruit, ellipsoid((0.04, 0.04, 0.038), (x, y, 0.085), 6, 10))
    elif name == "books":
        n = int(rng.integers(2, 6))
        heights = rng.uniform(0.02, 0.04, n)
        levels = np.cumsum(heights) - heights / 2
        for h, z in zip(heights, levels, strict=True):
            size = np.array([[rng.uniform(0.16, 0.24), rng.uniform(0.12, 0.18), h]])
            item.add(
                "books", plastic(rng), boxes(size, np.array([[*rng.uniform(-0.015, 0.015, 2), z]]))
            )
    elif name == "mug":
        item.add(
            "mug",
            glaze,
            lathe([(0, 0), (0.04, 0), (0.042, 0.095), (0.036, 0.095), (0.034, 0.02), (0, 0.02)]),
        )
    elif name == "plates":
        item.add(
            "plate",
            glaze,
            lathe([(0, 0.005), (0.07, 0.005), (0.13, 0.022), (0.07, 0.012), (0, 0.012)]),
        )
    elif name == "candle":
        item.add(
            "candle", solid(COLOURS[pick(rng, (*PALE, "red"))]), rod((0, 0, 0), (0, 0, 0.12), 0.03)
        )
    else:
        grey = solid(COLOURS[pick(rng, ("grey", "black", "light grey"))], 0.5, "metal", "grey")
        item.add("laptop", grey, box((0.34, 0.23, 0.015), (0, 0, 0.0075)))
        lid = pane(0.34, 0.22, (0, 0.006, 0.11))
        board = box((0.34, 0.01, 0.22), (0, 0, 0.11))
        item.add("", grey, transformed(board, pitch(0.3), (0, -0.115, 0.015)))
        item.add(
            "screen",
            solid(COLOURS[pick(rng, DARK)], 0.6),
            transformed(lid, pitch(0.3), (0, -0.115, 0.015)),
        )
    return item


def curtain(rng: Generator, wide: float, high: float, cloth: Material | None = None) -> Item:
    """A hanging curtain in folds, its top at z = `high`; label 0."""
    item = Item(0, "curtain")
    cloth = cloth or fabric(rng)
    x = np.linspace(-wide / 2, wide / 2, 41)
    fold = 0.035 * np.sin(x * float(rng.uniform(35, 55))) + 0.012 * np.sin(x * 23)
    rows = [
        np.stack([x * (0.92 + 0.08 * t), fold, np.full(41, high * (1 - t))], 1)
        for t in (0.0, 0.5, 1.0)
    ]
    item.add("curtain", cloth, surface(np.stack(rows)))
    return item
