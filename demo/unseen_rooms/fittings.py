"""What hangs on walls or lies about, and the walls' windows and doors; as in `furniture`."""

import numpy as np

from demo.unseen_rooms import materials
from demo.unseen_rooms.furniture import Piece, vase
from demo.unseen_rooms.materials import Material, Rng
from demo.unseen_rooms.shapes import box, lathe, sheet, tube


def picture(rng: Rng) -> Piece:
    piece, w = Piece("picture"), rng.uniform(0.3, 0.9)
    h, edge = w * rng.choice([0.7, 0.75, 1, 1.35, 1.5]), rng.uniform(0.012, 0.045)
    frame = materials.wood(rng) if rng.random() < 0.5 else materials.painted(rng)
    margin = w * rng.choice([0, 0.08, 0.15])
    for x in (-1, 1):
        piece.add(frame, box(edge, 0.03, h, x * (w - edge) / 2, -0.015))
    for z in (0, h - edge):
        piece.add(frame, box(w - 2 * edge, 0.03, edge, 0, -0.015, z))
    piece.add(
        materials.plain(np.full(3, 0.78)), box(w - edge, 0.012, h - edge, 0, -0.008, edge / 2)
    )
    inner = (w - 2 * edge - 2 * margin, h - 2 * edge - 2 * margin)
    art = Material(materials.art(rng), 0, "matt")
    piece.add(art, box(inner[0], 0.002, inner[1], 0, -0.0155, edge + margin))
    return piece


def television(rng: Rng, w: float, stands: bool) -> Piece:
    piece, h, black = Piece("television"), w * 0.565, materials.plain(np.full(3, 0.015), "satin")
    lift = 0.07 if stands else 0
    piece.add(black, box(w, 0.035, h, 0, -0.02, lift))
    dark = materials.plain(np.full(3, 0.006), "gloss")
    if rng.random() < 0.4:
        dark = Material(materials.art(rng) * 0.9, 0, "light")
    piece.add(dark, box(w - 0.02, 0.002, h - 0.02, 0, -0.0385, lift + 0.01))
    for x in (-w / 4, w / 4) if stands else ():
        piece.add(black, box(0.03, 0.22, 0.012, x, -0.02))
        piece.add(black, box(0.03, 0.03, 0.08, x, -0.015))
    return piece


def rug(rng: Rng, w: float, d: float) -> Piece:
    stuff = materials.rug(rng)
    if rng.random() < 0.25:
        return Piece("rug", [(stuff, lathe([(w / 2, 0), (w / 2, 0.01), (0, 0.011)]))])
    return Piece("rug", [(stuff, box(w, d, 0.012))])


def carton(rng: Rng) -> Piece:
    """Of cardboard, taped, open with flaps, or of plastic with a lid."""
    piece, (w, d, h) = Piece("box"), rng.uniform((0.3, 0.25, 0.2), (0.6, 0.45, 0.45))
    board = materials.hexed("#b58a5c") * rng.uniform(0.7, 1.2)
    stuff = Material(materials.tinted(board, 0.05 * materials.noise(rng, along=30, power=0.5)))
    kind = rng.choice(["taped", "open", "lidded"])
    if kind == "lidded":
        stuff = materials.painted(rng)
        piece.add(stuff, box(w + 0.02, d + 0.02, 0.04, z=h - 0.03))
    piece.add(stuff, box(w, d, h))
    if kind == "taped":
        tape = materials.plain(board * 0.6 + 0.15, "gloss")
        piece.add(tape, box(w + 0.002, 0.05, 0.12, z=h - 0.1195))
    for side in (-1, 1) if kind == "open" else ():
        x, out = side * w / 2, side * (w / 2 + 0.16)
        grid = np.array(
            [[[x, -d / 2, h], [x, d / 2, h]], [[out, -d / 2, h - 0.06], [out, d / 2, h - 0.06]]]
        )
        piece.add(stuff, sheet(grid))
    return piece


def trifle(rng: Rng) -> Piece:
    """What lies on tables and has no label: a mug, a vase, a stack of books, a bowl."""
    piece, kind = Piece("nothing"), rng.integers(4)
    if kind == 0:
        mug = [(0, 0), (0.04, 0), (0.042, 0.09), (0.038, 0.09), (0.036, 0.01), (0, 0.01)]
        piece.add(materials.painted(rng), lathe(mug))
    elif kind == 1:
        piece.add(materials.painted(rng), lathe(vase(rng, rng.uniform(0.15, 0.3))))
    elif kind == 2:
        for level in range(int(rng.integers(1, 5))):
            cover = materials.plain(materials.colour(rng, (0.1, 0.8), (0.2, 0.9)))
            w, d = rng.uniform((0.14, 0.18), (0.2, 0.27))
            piece.add(cover, box(w, d, 0.03, z=level * 0.031))
    else:
        bowl = [(0, 0.005), (0.05, 0), (0.14, 0.07), (0.135, 0.075), (0.05, 0.012), (0, 0.012)]
        piece.add(materials.painted(rng), lathe(bowl))
    return piece


def window(rng: Rng, w: float, sill: float, h: float, night: bool) -> Piece:
    """In a hole from (-w/2, sill) to (w/2, sill + h) of a wall whose inner side is y = 0."""
    piece = Piece("window")
    frame = materials.plain(materials.colour(rng, (0, 0.1), (0.75, 0.95)), "satin")
    frame = materials.wood(rng) if rng.random() < 0.25 else frame
    top, y = sill + h, 0.13
    pane = [[[-w / 2, y, sill], [-w / 2, y, top]], [[w / 2, y, sill], [w / 2, y, top]]]
    piece.add(materials.outside(rng, night), sheet(np.array(pane)))
    bars = [-w / 2 + 0.03, w / 2 - 0.03, *np.linspace(-w / 2, w / 2, int(rng.integers(2, 5)))[1:-1]]
    for x in bars:
        piece.add(frame, box(0.06, 0.05, h, x, 0.1, sill))
    levels = [sill, sill + h - 0.06, *([sill + h * 0.65] if rng.random() < 0.3 else [])]
    for z in levels:
        piece.add(frame, box(w, 0.05, 0.06, 0, 0.1, z))
    if sill > 0.2:
        piece.add(frame, box(w + 0.1, 0.2, 0.025, 0, 0.02, sill - 0.025))
    return piece


def curtain(rng: Rng, w: float, top: float, bottom: float, stuff: Material) -> Piece:
    u, z = np.meshgrid(np.linspace(-w / 2, w / 2, 80), np.linspace(bottom, top, 2), indexing="ij")
    folds = 0.035 * np.sin(u * 2 * np.pi / rng.uniform(0.09, 0.14) + rng.uniform(0, 6))
    return Piece("nothing", [(stuff, sheet(np.stack([u, folds - 0.09, z], axis=-1)))])


def door(rng: Rng, w: float, h: float) -> Piece:
    """In a hole 6 cm deep of a wall, as `window`."""
    piece = Piece("door")
    stuff = materials.wood(rng) if rng.random() < 0.4 else materials.painted(rng)
    if rng.random() < 0.5:
        stuff = materials.plain(materials.colour(rng, (0, 0.1), (0.75, 0.95)), "satin")
    piece.add(stuff, box(w, 0.04, h, 0, 0.08))
    for x in (-1, 1):
        piece.add(stuff, box(0.08, 0.03, h + 0.08, x * (w / 2 + 0.03), -0.012))
    piece.add(stuff, box(w + 0.14, 0.03, 0.08, 0, -0.012, h))
    for z, tall in ((0.15, h * 0.36), (h * 0.36 + 0.3, h * 0.64 - 0.42)) * (rng.random() < 0.6):
        for shrink, out in ((0.24, 0.008), (0.3, 0.014)):
            piece.add(
                stuff,
                box(
                    w - shrink, out, tall - shrink + 0.24, 0, 0.06 - out / 2, z + shrink / 2 - 0.12
                ),
            )
    handle, side = materials.metal(rng), rng.choice([-1, 1])
    x = side * (w / 2 - 0.07)
    piece.add(handle, tube([(x, 0.06, 1.02), (x, 0.0, 1.02), (x - side * 0.12, 0.0, 1.02)], 0.01))
    return piece
