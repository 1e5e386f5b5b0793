"""Lamps, plants, pictures, rugs, televisions, boxes and small things that lie about."""

from numpy.random import Generator

from demo.rooms.curved import lathe
from demo.rooms.geometry import box, pane
from demo.rooms.item import PICTURE, RUG, TELEVISION, Item
from demo.rooms.materials import (
    COLOURS,
    VIVID,
    Material,
    any_colour,
    chance,
    jittered,
    metal,
    painted,
    pick,
    solid,
    wood,
)


def picture(rng: Generator) -> Item:
    """A framed picture, its back at y = 0 and its middle at z = 0."""
    item = Item(PICTURE, "picture")
    wide, high = float(rng.uniform(0.35, 1.1)), float(rng.uniform(0.35, 0.85))
    frame = pick(rng, (wood, metal, painted))(rng)
    edge = float(rng.uniform(0.02, 0.05))
    first, second = any_colour(rng), any_colour(rng)
    canvas = Material(
        "painting",
        COLOURS[first],
        COLOURS[second],
        float(rng.uniform(0.1, 0.3)),
        0.1,
        phase=float(rng.random()),
        word="canvas",
        colour=first,
    )
    if chance(rng, 0.12):
        item.design = "mirror"
        canvas = Material(
            "plain", (0.72, 0.76, 0.78), (0.5, 0.54, 0.57), 1, 0.9, word="glass", colour="silver"
        )
    item.add(
        "frame",
        frame,
        box((wide, 0.03, edge), (0, 0.015, high / 2 - edge / 2)),
        box((wide, 0.03, edge), (0, 0.015, -high / 2 + edge / 2)),
        *[box((edge, 0.03, high), (s * (wide / 2 - edge / 2), 0.015, 0)) for s in (-1, 1)],
    )
    inner = 0.0
    if item.design == "picture" and chance(rng, 0.5):
        inner = float(rng.uniform(0.04, 0.09))
        item.add("", solid((0.92, 0.91, 0.88)), pane(wide - edge, high - edge, (0, 0.014, 0)))
    item.add(
        "canvas" if item.design == "picture" else "glass",
        canvas,
        pane(wide - 2 * (edge + inner), high - 2 * (edge + inner), (0, 0.018, 0)),
    )
    return item


def rug(rng: Generator, wide: float, deep: float) -> Item:
    """A rug, round or rectangular, a few millimetres thick."""
    item = Item(RUG, "rug")
    first, second = any_colour(rng), any_colour(rng)
    kind = pick(rng, ("carpet", "ornament", "ornament", "waves", "stripes", "checks", "blossoms"))
    scale = {"ornament": rng.uniform(0.4, 0.9), "blossoms": 0.25}.get(kind, rng.uniform(0.1, 0.3))
    wool = Material(
        kind,
        jittered(rng, COLOURS[first]),
        jittered(rng, COLOURS[second]),
        float(scale),
        0,
        phase=float(rng.random()),
        word="woven",
        colour=first,
    )
    if chance(rng, 0.2):
        r = min(wide, deep) / 2
        item.add("pile", wool, lathe([(0, 0.008), (r, 0.008), (r, 0.0)]))
        item.design = "round rug"
        return item
    item.add("pile", wool, box((wide, deep, 0.008), (0, 0, 0.004)))
    if chance(rng, 0.5):
        border = solid(jittered(rng, COLOURS[second]), 0)
        for s in (-1, 1):
            item.add("border", border, box((wide, 0.07, 0.009), (0, s * (deep / 2 - 0.06), 0.0055)))
            item.add(
                "border", border, box((0.07, deep - 0.2, 0.009), (s * (wide / 2 - 0.06), 0, 0.0055))
            )
    return item


def television(rng: Generator, wide: float, foot: bool) -> Item:
    """A flat screen, on its foot at z = 0 or for the wall with its back at y = 0."""
    item = Item(TELEVISION, "monitor" if wide < 0.75 else "television")
    body = solid((0.05, 0.05, 0.055), 0.4, "plastic", "black")
    high = wide * 0.57
    z = high / 2 + (0.07 if foot else 0.0)
    item.add("frame", body, box((wide, 0.04, high), (0, 0.02, z)))
    if foot:
        item.add(
            "foot",
            body,
            box((wide * 0.35, 0.18, 0.012), (0, 0.02, 0.006)),
            box((0.06, 0.03, 0.1), (0, 0.0, 0.05)),
        )
    if chance(rng, 0.45):
        first, second = COLOURS[any_colour(rng)], COLOURS[pick(rng, VIVID)]
        image = Material("screen", first, second, 1, 0.3, 0.7, float(rng.random()))
    else:
        image = solid((0.03, 0.03, 0.035), 0.9)
    item.add("screen", image, pane(wide - 0.03, high - 0.03, (0, 0.042, z)))
    return item
