"""Tables, sofas, beds and shelves; each stands on z = 0, faces +y and is centred on x = y = 0."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import cushion, disc, lathe, rod
from demo.rooms.geometry import beam, box, pitch, prism, transformed
from demo.rooms.item import BED, SOFA, TABLE, Item
from demo.rooms.materials import Material, chance, fabric, leather, metal, painted, pick, wood


def board(rng: Generator) -> Material:
    return wood(rng) if chance(rng, 0.7) else painted(rng, pick(rng, ("white", "black", "grey")))


def table(rng: Generator, width: float, depth: float, height: float, design: str) -> Item:
    """A rectangular table: four legs, a trestle or a metal frame under its top."""
    item = Item(TABLE, design)
    top = board(rng)
    frame = top if chance(rng, 0.6) else (metal(rng) if chance(rng, 0.5) else painted(rng))
    thick = float(rng.uniform(0.025, 0.05))
    item.add("top", top, box((width, depth, thick), (0, 0, height - thick / 2)))
    leg = float(rng.uniform(0.045, 0.08))
    x, y = width / 2 - leg / 2 - 0.02, depth / 2 - leg / 2 - 0.02
    under = height - thick
    style = pick(rng, ("square", "square", "tapered", "round", "frame"))
    for s in (-1, 1):
        for t in (-1, 1):
            if style == "round":
                legs = rod((s * x, t * y, 0), (s * x, t * y, under), leg * 0.35, leg * 0.5)
            elif style == "tapered":
                legs = prism(
                    (s * x, t * y, 0), (s * x, t * y, under), (leg / 2, leg / 2), (leg, leg)
                )
            else:
                legs = prism((s * x, t * y, 0), (s * x, t * y, under), (leg, leg))
            item.add("legs", frame, legs)
        if style == "frame":
            item.add("", frame, beam((s * x, -y, 0.03), (s * x, y, 0.03), leg, 0.05))
        else:
            item.add("", frame, box((0.02, 2 * y, 0.08), (s * x, 0, under - 0.04)))
    for t in (-1, 1):
        item.add("", frame, box((2 * x, 0.02, 0.08), (0, t * y, under - 0.04)))
    return item


def round_table(rng: Generator, radius: float, height: float, design: str) -> Item:
    """A round table on one turned foot or three to four legs."""
    item = Item(TABLE, design)
    top = board(rng)
    frame = top if chance(rng, 0.5) else metal(rng)
    item.add("top", top, disc(radius, height, 0.03))
    if chance(rng, 0.5):
        foot = radius * 0.6
        item.add(
            "foot",
            frame,
            lathe(
                [
                    (0, 0),
                    (foot, 0),
                    (foot, 0.02),
                    (0.1, 0.05),
                    (0.045, 0.12),
                    (0.04, height - 0.1),
                    (0.12, height - 0.03),
                ]
            ),
        )
    else:
        for k in range(4):
            a = np.pi / 4 + k * np.pi / 2
            c, s = np.cos(a) * radius, np.sin(a) * radius
            low, high = (c * 0.8, s * 0.8, 0), (c * 0.65, s * 0.65, height - 0.03)
            item.add("legs", frame, rod(low, high, 0.022, 0.03))
    return item


def desk(rng: Generator) -> Item:
    """A desk with a drawer unit on one side or plain legs; a person sits on its +y side."""
    width, depth = float(rng.uniform(1.1, 1.6)), float(rng.uniform(0.6, 0.75))
    if chance(rng, 0.35):
        return table(rng, width, depth, 0.74, "desk")
    item = Item(TABLE, "desk")
    top, body = board(rng), board(rng)
    item.add("top", top, box((width, depth, 0.03), (0, 0, 0.735)))
    side = float(pick(rng, (-1.0, 1.0)))
    x = side * (width / 2 - 0.22)
    item.add("drawers", body, box((0.4, depth - 0.04, 0.7), (x, 0, 0.37)))
    knob = metal(rng)
    for k in range(3):
        z = 0.14 + k * 0.22
        item.add("", body, box((0.37, 0.012, 0.2), (x, depth / 2 - 0.016, z)))
        item.add("", knob, box((0.12, 0.02, 0.015), (x, depth / 2, z + 0.04)))
    item.add("", body, box((0.03, depth - 0.04, 0.72), (-side * (width / 2 - 0.03), 0, 0.36)))
    item.add("", body, box((width - 0.45, 0.018, 0.35), (-side * 0.2, -depth / 2 + 0.04, 0.54)))
    return item


def coffee_table(rng: Generator) -> Item:
    """A low table."""
    height = float(rng.uniform(0.36, 0.46))
    if chance(rng, 0.35):
        return round_table(rng, float(rng.uniform(0.35, 0.5)), height, "coffee table")
    width, depth = float(rng.uniform(0.8, 1.2)), float(rng.uniform(0.5, 0.65))
    item = table(rng, width, depth, height, "coffee table")
    if chance(rng, 0.4):
        item.add(
            "lower shelf", item.materials[0], box((width - 0.1, depth - 0.1, 0.02), (0, 0, 0.14))
        )
    return item


def side_table(rng: Generator) -> Item:
    """A small table beside a sofa or bed."""
    if chance(rng, 0.5):
        return round_table(rng, float(rng.uniform(0.2, 0.28)), 0.52, "side table")
    return table(rng, 0.45, 0.42, float(rng.uniform(0.45, 0.6)), "side table")


def sofa(rng: Generator) -> Item:
    """A sofa of two or three seats, sometimes with a chaise."""
    seats = int(rng.integers(2, 4))
    item = Item(SOFA, f"{('two', 'three')[seats - 2]}-seat sofa")
    cover = fabric(rng, patterned=0.2) if chance(rng, 0.7) else leather(rng)
    seat, arm = float(rng.uniform(0.62, 0.75)), float(rng.uniform(0.12, 0.25))
    width, depth, h = seats * seat + 2 * arm, float(rng.uniform(0.82, 0.95)), 0.42
    back_height = float(rng.uniform(0.36, 0.5))
    feet = wood(rng) if chance(rng, 0.7) else metal(rng)
    for s in (-1, 1):
        for t in (-1, 1):
            spot = (s * (width / 2 - 0.08), t * (depth / 2 - 0.08))
            item.add("feet", feet, prism((*spot, 0), (*spot, 0.14), (0.05, 0.05), (0.06, 0.06)))
    item.add("", cover, cushion((width, depth, 0.2), (0, 0, 0.21), 0.12))
    item.add(
        "back",
        cover,
        cushion(
            (width - 0.05, 0.2, h + back_height - 0.14),
            (0, -depth / 2 + 0.11, (h + back_height + 0.14) / 2),
            0.2,
        ),
    )
    arm_height = float(rng.uniform(0.54, 0.66))
    for s in (-1, 1):
        item.add(
            "armrests",
            cover,
            cushion(
                (arm, depth - 0.02, arm_height - 0.12),
                (s * (width - arm) / 2, 0, (arm_height + 0.12) / 2),
                0.22,
            ),
        )
    for k in range(seats):
        x = (k - (seats - 1) / 2) * seat
        item.add(
            "seat cushions",
            cover,
            cushion((seat - 0.01, depth - 0.2, 0.16), (x, 0.09, h - 0.03), 0.25),
        )
        pad = cushion((seat - 0.02, 0.16, back_height + 0.04), (0, 0, back_height / 2), 0.35)
        item.add("", cover, transformed(pad, pitch(0.18), (x, -depth / 2 + 0.24, h + 0.03)))
    if chance(rng, 0.4):
        side = float(pick(rng, (-1.0, 1.0)))
        x = side * (width - seat) / 2 - side * arm
        item.add("", cover, cushion((seat, 0.75, 0.2), (x, depth / 2 + 0.3, 0.21), 0.12))
        item.add(
            "chaise",
            cover,
            cushion((seat - 0.01, 0.8, 0.16), (x, depth / 2 + 0.28, h - 0.03), 0.22),
        )
        for t in (-1, 1):
            spot = (x + t * (seat / 2 - 0.07), depth / 2 + 0.6)
            item.add("", feet, prism((*spot, 0), (*spot, 0.14), (0.05, 0.05)))
        item.design = "corner sofa"
    for _ in range(int(rng.integers(0, 4))):
        pillow = cushion((0.42, 0.14, 0.4), (0, 0, 0.2), 0.6)
        x = float(rng.uniform(-1, 1)) * (width / 2 - arm - 0.22)
        item.add(
            "cushions",
            fabric(rng, patterned=0.6),
            transformed(pillow, pitch(0.35), (x, -depth / 2 + 0.42, h + 0.04)),
        )
    return item


def bed(rng: Generator, width: float | None = None) -> Item:
    """A bed, its head at -y."""
    width = width or float(pick(rng, (0.9, 1.2, 1.4, 1.6, 1.8)))
    item = Item(BED, "single bed" if width < 1.3 else "double bed")
    frame = pick(rng, (wood, wood, painted, fabric))(rng)
    length, h = 2.0, float(rng.uniform(0.28, 0.4))
    for s in (-1, 1):
        for t in (-1, 1):
            item.add("", frame, box((0.07, 0.07, h), (s * (width / 2 - 0.04), t * 0.96, h / 2)))
    item.add("frame", frame, box((width + 0.04, length + 0.04, 0.16), (0, 0, h - 0.06)))
    head = float(rng.uniform(0.75, 1.15))
    if frame.kind == "wood" and chance(rng, 0.4):
        for x in np.linspace(-width / 2, width / 2, 7):
            item.add(
                "headboard", frame, box((0.05, 0.04, head - 0.2), (x, -1.03, (head + 0.2) / 2))
            )
        item.add("", frame, box((width + 0.08, 0.05, 0.1), (0, -1.03, head)))
    else:
        item.add(
            "headboard", frame, cushion((width + 0.06, 0.08, head), (0, -1.05, head / 2), 0.12)
        )
    sheet = fabric(rng, pick(rng, ("white", "cream", "light grey", "light blue")), 0.1)
    item.add("mattress", sheet, cushion((width, length, 0.22), (0, 0, h + 0.12), 0.15))
    cover = fabric(rng, patterned=0.5)
    reach = float(rng.uniform(1.2, 1.6))
    item.add(
        "blanket", cover, cushion((width + 0.1, reach, 0.24), (0, 1.02 - reach / 2, h + 0.15), 0.18)
    )
    for k in range(1 if width < 1.3 else 2):
        x = 0.0 if width < 1.3 else (k - 0.5) * width * 0.5
        pillow = cushion((min(0.7, width * 0.45), 0.42, 0.16), (x, -0.72, h + 0.28), 0.5)
        item.add("pillows", sheet if chance(rng, 0.6) else fabric(rng), pillow)
    if chance(rng, 0.4):
        x = float(rng.uniform(-0.3, 0.3)) * width
        item.add("cushions", fabric(rng), cushion((0.4, 0.3, 0.14), (x, -0.4, h + 0.31), 0.6))
    return item
