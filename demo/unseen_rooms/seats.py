"""Chairs of seven designs, sofas and beds. Fronts face -y, the floor is z = 0."""

import numpy as np

from demo.unseen_rooms import materials
from demo.unseen_rooms.furniture import Piece, legs
from demo.unseen_rooms.materials import Material, Rng
from demo.unseen_rooms.shapes import box, rod, sheet, soft, tube


def chair(rng: Rng) -> Piece:
    return DESIGNS[rng.integers(len(DESIGNS))](rng)


def slatted(rng: Rng) -> Piece:
    """Of wood, its back of upright or lying slats, the seat bare or with a cushion."""
    piece, stuff = Piece("chair"), _wood_or_paint(rng)
    w, d, h = rng.uniform(0.4, 0.47), rng.uniform(0.4, 0.46), rng.uniform(0.43, 0.47)
    top, lean, thick = rng.uniform(0.38, 0.55), rng.uniform(0.04, 0.1), rng.uniform(0.032, 0.045)
    for side in (-1, 1):
        x = side * (w / 2 - thick / 2)
        piece.add(stuff, box(thick, thick, h, x, -d / 2 + thick / 2))
        piece.add(stuff, box(thick, thick, h, x, d / 2 - thick / 2))
        piece.add(stuff, rod((x, d / 2 - thick / 2, h - 0.02), (x, d / 2 + lean, h + top), 0.018))
        piece.add(stuff, box(0.02, d - thick, 0.03, x, 0, h * 0.4))
    piece.add(stuff, box(w, d, 0.03, z=h - 0.01))
    piece.add(stuff, box(w - 0.06, 0.02, 0.05, 0, -d / 2 + 0.03, h - 0.06))
    if rng.random() < 0.4:
        piece.add(materials.fabric(rng), soft(w * 0.95, d * 0.92, 0.05, z=h + 0.015))
    span = w - 2 * thick
    piece.add(stuff, box(w, 0.022, 0.07, 0, d / 2 + lean - 0.005, h + top - 0.07))
    if rng.random() < 0.5:
        for x in np.linspace(-span / 2, span / 2, int(rng.integers(4, 8)))[1:-1]:
            piece.add(stuff, rod((x, d / 2, h), (x, d / 2 + lean, h + top - 0.05), 0.011))
    else:
        for share in np.linspace(0.3, 0.95, int(rng.integers(2, 5)))[:-1]:
            y = d / 2 + lean * share
            piece.add(stuff, box(span + 0.03, 0.016, 0.05, 0, y, h + top * share - 0.025))
    return piece


def upholstered(rng: Rng) -> Piece:
    """A padded seat and back on tapered legs."""
    piece, cover, stuff = Piece("chair"), materials.fabric(rng), materials.wood(rng)
    w, d, top = rng.uniform(0.44, 0.52), rng.uniform(0.44, 0.5), rng.uniform(0.4, 0.6)
    legs(piece, stuff, w - 0.08, d - 0.08, 0.4, 0.022, end=0.012, splay=rng.uniform(0, 0.05))
    piece.add(cover, soft(w, d, 0.11, z=0.38, power=0.25))
    back = soft(w * rng.uniform(0.85, 1), 0.09, top, power=0.3)
    back.apply_transform(_tilt(rng.uniform(0.08, 0.2)))
    back.apply_translation((0, d / 2 - 0.06, 0.44))
    piece.add(cover, back)
    return piece


def shell(rng: Rng) -> Piece:
    """A moulded bucket on four thin legs or on a sled of wire."""
    piece, stuff = (
        Piece("chair"),
        materials.plain(materials.colour(rng, (0, 0.8), (0.15, 0.95)), "satin"),
    )
    u, v = np.meshgrid(np.linspace(-1, 1, 25), np.linspace(0, 1, 33), indexing="ij")
    bend = np.clip((v - 0.45) / 0.15, 0, 1)
    bend = bend * bend * (3 - 2 * bend)  # from the seat's lie to the back's rise
    tall = rng.uniform(0.36, 0.46)
    x = u * (0.23 - 0.05 * np.clip(v - 0.75, 0, 1) * 4) * (1 - 0.12 * (v < 0.05))
    y = -0.22 + 0.44 * np.minimum(v / 0.55, 1) + 0.1 * np.clip(v - 0.5, 0, 1) * 2
    z = 0.45 + bend * tall * np.clip((v - 0.4) / 0.6, 0, 1) - 0.03 * np.sin(np.pi * v) * (1 - bend)
    z, y = z + 0.09 * np.abs(u) ** 2.5 * (1 - bend), y - 0.13 * np.abs(u) ** 2 * bend
    piece.add(stuff, sheet(np.stack([x, y, z], axis=-1)))
    if rng.random() < 0.6:
        legs(piece, materials.wood(rng), 0.26, 0.26, 0.45, 0.017, end=0.012, splay=0.09)
        return piece
    wire = materials.metal(rng)
    for side in (-0.2, 0.2):
        ends = [(side * 0.7, -0.12, 0.45), (side, -0.24, 0.01), (side, 0.24, 0.01)]
        piece.add(wire, tube([*ends, (side * 0.7, 0.14, 0.45)], 0.008))
    return piece


def office(rng: Rng) -> Piece:
    """A star of five feet on castors, a column, a padded seat and back, mostly with arms."""
    piece, dark = Piece("chair"), materials.plain(np.full(3, rng.uniform(0.01, 0.05)), "satin")
    cover = materials.fabric(rng, (0, 0.5)) if rng.random() < 0.5 else dark
    stand = dark if rng.random() < 0.6 else materials.metal(rng)
    for angle in np.arange(5) * 2 * np.pi / 5 + rng.uniform(0, 1):
        x, y = 0.3 * np.cos(angle), 0.3 * np.sin(angle)
        piece.add(stand, rod((0, 0, 0.12), (x, y, 0.07), 0.026, 0.016))
        piece.add(dark, soft(0.055, 0.055, 0.06, x, y, 0, power=0.8))
    piece.add(stand, rod((0, 0, 0.1), (0, 0, 0.43), 0.028))
    piece.add(cover, soft(0.5, 0.49, 0.1, z=0.42, power=0.3))
    top, gap = rng.uniform(0.45, 0.68), rng.uniform(0.03, 0.14)
    back = soft(0.46, 0.07, top, power=0.3)
    back.apply_transform(_tilt(0.12))
    back.apply_translation((0, 0.23, 0.5 + gap))
    piece.add(cover, back)
    piece.add(dark, tube([(0, 0.05, 0.43), (0, 0.29, 0.44), (0, 0.31, 0.7)], 0.02))
    for side in (-0.27, 0.27) * (rng.random() < 0.75):
        piece.add(dark, tube([(side * 0.8, 0, 0.44), (side, 0, 0.46), (side, 0, 0.66)], 0.015))
        piece.add(dark, soft(0.06, 0.26, 0.035, side, 0, 0.65))
    return piece


def spindled(rng: Rng) -> Piece:
    """A round seat, splayed turned legs, and a bow filled with spindles."""
    piece, stuff = Piece("chair"), _wood_or_paint(rng)
    legs(piece, stuff, 0.28, 0.26, 0.44, 0.019, end=0.013, splay=0.08)
    piece.add(stuff, soft(0.44, 0.42, 0.045, z=0.43, power=0.7))
    top = rng.uniform(0.42, 0.52)
    angles = np.linspace(0, np.pi, 13)
    bow = [(0.19 * np.cos(a), 0.15 + 0.09 * np.sin(a), 0.46 + top * np.sin(a)) for a in angles]
    piece.add(stuff, tube(bow, 0.012))
    for point in bow[2 : -2 : 1 if rng.random() < 0.5 else 2]:
        piece.add(stuff, rod((point[0] * 0.85, 0.16, 0.46), point, 0.007))
    for y in (-0.15, 0.15):
        piece.add(stuff, rod((-0.16, y, 0.2), (0.16, y, 0.2), 0.009))
    return piece


def cantilever(rng: Rng) -> Piece:
    """Two bent tubes that carry a seat and a back."""
    piece, steel = Piece("chair"), materials.metal(rng)
    cover = materials.fabric(rng) if rng.random() < 0.5 else _wood_or_paint(rng)
    for x in (-0.22, 0.22):
        path = [(x, 0.22, 0.015), (x, -0.22, 0.015), (x, -0.23, 0.44), (x, 0.2, 0.44)]
        piece.add(steel, tube([*path, (x, 0.27, 0.84)], 0.012))
    piece.add(steel, rod((-0.22, 0.22, 0.015), (0.22, 0.22, 0.015), 0.012))
    piece.add(cover, soft(0.43, 0.42, 0.045, 0, -0.01, 0.44, power=0.15))
    back = soft(0.43, 0.035, rng.uniform(0.2, 0.34), power=0.15)
    back.apply_transform(_tilt(0.17))
    back.apply_translation((0, 0.235, 0.56))
    piece.add(cover, back)
    return piece


def easy(rng: Rng) -> Piece:
    """Low and wide: thick cushions in a frame of wood with arms, or padded all round."""
    piece, cover = Piece("chair"), materials.fabric(rng)
    w, d = rng.uniform(0.66, 0.8), rng.uniform(0.7, 0.8)
    padded = rng.random() < 0.5
    stuff = materials.wood(rng)
    for side in (-1, 1):
        x = side * (w / 2 - 0.03)
        if padded:
            piece.add(cover, soft(0.14, d * 0.92, 0.5, side * (w / 2 - 0.07), 0, 0.1, power=0.25))
            continue
        piece.add(stuff, box(0.05, 0.05, 0.58, x, -d / 2 + 0.06))
        piece.add(stuff, box(0.05, 0.05, 0.56, x, d / 2 - 0.1))
        piece.add(stuff, box(0.08, d * 0.9, 0.03, x, 0, 0.57))
        piece.add(stuff, box(0.03, d * 0.8, 0.06, x, 0, 0.24))
    if padded:
        legs(piece, stuff, w - 0.16, d - 0.16, 0.12, 0.02)
        piece.add(cover, soft(w - 0.2, d * 0.85, 0.2, 0, 0.02, 0.12, power=0.2))
    piece.add(cover, soft(w - 0.16, d * 0.82, 0.16, 0, -0.04, 0.28, power=0.28))
    back = soft(w - 0.16, 0.17, rng.uniform(0.5, 0.65), power=0.3)
    back.apply_transform(_tilt(0.25))
    back.apply_translation((0, d / 2 - 0.17, 0.32))
    piece.add(cover, back)
    return piece


DESIGNS = (slatted, upholstered, shell, office, spindled, cantilever, easy)


def sofa(rng: Rng) -> Piece:
    piece, cover, count = Piece("sofa"), materials.fabric(rng, (0.02, 0.5)), int(rng.integers(2, 4))
    arm, d, high = rng.uniform(0.1, 0.22), rng.uniform(0.82, 0.95), rng.uniform(0.72, 0.9)
    seat = rng.uniform(0.62, 0.75)
    w = count * seat + 2 * arm
    legs(piece, materials.wood(rng), w - 0.15, d - 0.15, 0.14, 0.025)
    piece.add(cover, soft(w, d, 0.22, z=0.11, power=0.12))
    piece.add(cover, soft(w, 0.2, high - 0.15, 0, d / 2 - 0.1, 0.15, power=0.18))
    for side in (-1, 1):
        x = side * (w - arm) / 2
        piece.add(cover, soft(arm, d, rng.uniform(0.42, 0.5), x, 0, 0.12, power=0.2))
    for x in (np.arange(count) - (count - 1) / 2) * seat:
        piece.add(cover, soft(seat - 0.005, d - 0.22, 0.17, x, -0.1, 0.29, power=0.22))
        back = soft(seat - 0.02, 0.19, high - 0.42, power=0.35)
        back.apply_transform(_tilt(0.18))
        back.apply_translation((x, d / 2 - 0.3, 0.43))
        piece.add(cover, back)
    for _ in range(int(rng.integers(0, 4))):
        pillow = soft(0.42, 0.15, 0.4, power=0.55)
        pillow.apply_transform(_tilt(rng.uniform(0.25, 0.5)))
        pillow.apply_translation((rng.uniform(-0.4, 0.4) * (w - 0.5), d / 2 - 0.44, 0.45))
        piece.add(materials.fabric(rng, (0.2, 0.8)), pillow)
    return piece


def bed(rng: Rng) -> Piece:
    piece, stuff, linen = Piece("bed"), _wood_or_paint(rng), materials.fabric(rng, (0, 0.4))
    w, d = float(rng.choice([0.95, 1.4, 1.65])), 2.05
    piece.add(stuff, box(w + 0.06, d, 0.14, z=0.16))
    legs(piece, stuff, w - 0.05, d - 0.1, 0.18, 0.03)
    if rng.random() < 0.5:
        piece.add(stuff, box(w + 0.1, 0.05, rng.uniform(0.8, 1.1), 0, d / 2 + 0.02))
    else:
        head = soft(w + 0.1, 0.12, rng.uniform(0.9, 1.15), 0, d / 2 + 0.05, power=0.15)
        piece.add(materials.fabric(rng), head)
    white = materials.plain(np.array([0.8, 0.79, 0.76]))
    piece.add(white, soft(w, d - 0.06, 0.24, 0, -0.02, 0.27, power=0.1))
    cover = soft(w + 0.08, d * rng.uniform(0.6, 0.74), 0.26, power=0.14)
    cover.apply_translation((0, -d / 2 + np.ptp(cover.vertices[:, 1]) / 2 - 0.02, 0.3))
    piece.add(linen, cover)
    if rng.random() < 0.5:  # a blanket across the foot
        throw = soft(w + 0.11, 0.55, 0.27, 0, -d / 2 + 0.4, 0.31, power=0.12)
        piece.add(materials.fabric(rng, (0.2, 0.7)), throw)
    for x in (-w / 4, w / 4) if w > 1.2 else (0.0,):
        pillow = soft(min(w / 2 - 0.04, 0.62), 0.16, 0.42, power=0.45)
        pillow.apply_transform(_tilt(rng.uniform(0.7, 1.1)))
        pillow.apply_translation((x, d / 2 - 0.42, 0.5))
        piece.add(linen if rng.random() < 0.4 else white, pillow)
    return piece


def _wood_or_paint(rng: Rng) -> Material:
    return materials.wood(rng) if rng.random() < 0.65 else materials.painted(rng)


def _tilt(angle: float) -> materials.Array:
    """(4, 4): leans back by `angle`, in radians."""
    c, s = np.cos(-angle), np.sin(-angle)
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
