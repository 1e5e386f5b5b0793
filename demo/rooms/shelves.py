"""Bookshelves and cabinets; each stands on z = 0 and faces +y."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import lathe
from demo.rooms.furniture import board
from demo.rooms.geometry import Mesh, box, boxes, transformed
from demo.rooms.item import SHELF, Item
from demo.rooms.materials import COLOURS, VIVID, Material, chance, jittered, metal, pick, solid


def books(rng: Generator, width: float, depth: float, height: float) -> list[tuple[Mesh, Material]]:
    """A row of books along x from 0 to `width` at most, their backs towards +y."""
    out, x = [], 0.0
    groups: dict[str, tuple[list[list[float]], list[list[float]]]] = {}
    tones = [pick(rng, tuple(COLOURS)) for _ in range(5)]
    fill = float(rng.uniform(0.4, 1.0)) * width
    while True:
        w = float(rng.uniform(0.02, 0.055))
        if x + w > fill:
            break
        tall = height * float(rng.uniform(0.6, 0.92))
        deep = depth * float(rng.uniform(0.6, 0.85))
        sizes, centres = groups.setdefault(pick(rng, tones), ([], []))
        sizes.append([w * 0.94, deep, tall])
        centres.append([x + w / 2, depth / 2 - 0.02 - deep / 2, tall / 2])
        x += w
    for tone, (sizes, centres) in groups.items():
        paper = solid(jittered(rng, COLOURS[tone]), 0.15)
        out.append((boxes(np.array(sizes), np.array(centres)), paper))
    return out


def bookshelf(rng: Generator) -> Item:
    """An open shelf with books and things."""
    item = Item(SHELF, "bookshelf")
    wide, deep = float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.26, 0.36))
    rows = int(rng.integers(2, 7))
    step = float(rng.uniform(0.29, 0.36))
    high, body = rows * step + 0.08, board(rng)
    item.add(
        "sides",
        body,
        *[box((0.025, deep, high), (s * (wide / 2 - 0.0125), 0, high / 2)) for s in (-1, 1)],
    )
    if chance(rng, 0.7):
        item.add("", body, box((wide, 0.012, high), (0, -deep / 2 + 0.006, high / 2)))
    for k in range(rows + 1):
        z = 0.06 + k * step
        item.add("shelf boards", body, box((wide - 0.05, deep - 0.01, 0.025), (0, 0, z)))
        if k == rows or chance(rng, 0.12):
            continue
        start = float(rng.uniform(0, 0.2)) * wide
        for mesh, paper in books(rng, wide - 0.06 - start, deep, step):
            shift = (-wide / 2 + 0.03 + start, 0, z + 0.0125)
            item.add("books", paper, transformed(mesh, np.eye(3), shift))
        if start > 0.15:
            colour = jittered(rng, COLOURS[pick(rng, VIVID)])
            item.add(
                "",
                solid(colour, 0.4),
                lathe(
                    [(0, 0), (0.045, 0), (0.06, 0.07), (0.03, 0.15), (0.04, 0.18)],
                    (-wide / 2 + 0.03 + start / 2, 0.0, z + 0.0125),
                ),
            )
    return item


def cabinet(rng: Generator, kind: str) -> Item:
    """A "sideboard", "wardrobe", "chest of drawers" or "bedside cabinet"."""
    item = Item(SHELF, kind)
    wide, deep, high, columns, rows = {
        "sideboard": (rng.uniform(1.2, 1.8), 0.42, rng.uniform(0.65, 0.85), 3, 1),
        "wardrobe": (rng.uniform(1.0, 1.8), 0.6, rng.uniform(1.85, 2.15), 2, 1),
        "chest of drawers": (rng.uniform(0.7, 1.1), 0.45, rng.uniform(0.75, 1.1), 1, 4),
        "bedside cabinet": (0.45, 0.4, rng.uniform(0.45, 0.6), 1, 2),
    }[kind]
    wide, high = float(wide), float(high)
    body, knob = board(rng), metal(rng)
    front = body if chance(rng, 0.6) else board(rng)
    foot = float(pick(rng, (0.03, 0.12))) if kind != "wardrobe" else 0.05
    item.add("body", body, box((wide, deep, high - foot), (0, 0, (high + foot) / 2)))
    for s in (-1, 1):
        for t in (-1, 1):
            item.add(
                "",
                body,
                box((0.05, 0.05, foot), (s * (wide / 2 - 0.05), t * (deep / 2 - 0.05), foot / 2)),
            )
    cell_w, cell_h = (wide - 0.02) / columns, (high - foot - 0.02) / rows
    part = "drawers" if rows > 1 else "doors"
    for c in range(columns):
        for r in range(rows):
            x = -wide / 2 + 0.01 + (c + 0.5) * cell_w
            z = foot + 0.01 + (r + 0.5) * cell_h
            item.add(
                part, front, box((cell_w - 0.012, 0.018, cell_h - 0.012), (x, deep / 2 + 0.009, z))
            )
            at = x if rows > 1 else x + (0.38 if c % 2 == 0 else -0.38) * cell_w
            size = (0.14, 0.02, 0.016) if rows > 1 else (0.016, 0.02, 0.14)
            item.add("handles", knob, box(size, (at, deep / 2 + 0.028, z)))
    return item
