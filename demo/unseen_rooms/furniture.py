"""Tables, shelves, lamps and plants. Fronts face -y, the floor is z = 0."""

from dataclasses import dataclass, field

import numpy as np
import trimesh

from demo.unseen_rooms import materials
from demo.unseen_rooms.materials import Array, Material, Rng
from demo.unseen_rooms.shapes import box, lathe, rod, sheet, soft, tube


@dataclass
class Piece:
    """A thing of one label: solids, each with its material."""

    label: str
    parts: list[tuple[Material, trimesh.Trimesh]] = field(default_factory=list)

    def add(self, material: Material, mesh: trimesh.Trimesh) -> None:
        self.parts.append((material, mesh))

    def moved(self, matrix: Array) -> "Piece":
        return Piece(
            self.label, [(stuff, mesh.copy().apply_transform(matrix)) for stuff, mesh in self.parts]
        )

    def bounds(self) -> Array:
        """(2, 3): the lowest and the highest coordinates."""
        every = np.stack([mesh.bounds for _, mesh in self.parts])
        return np.stack([every[:, 0].min(axis=0), every[:, 1].max(axis=0)])


def legs(
    piece: Piece,
    stuff: Material,
    w: float,
    d: float,
    h: float,
    radius: float,
    end: float | None = None,
    splay: float = 0,
) -> None:
    """Four, at the corners of w x d, ending `splay` further out on the floor."""
    for x in (-w / 2, w / 2):
        for y in (-d / 2, d / 2):
            foot = (x + splay * np.sign(x), y + splay * np.sign(y), 0)
            piece.add(stuff, rod((x, y, h), foot, radius, end))


def table(rng: Rng, w: float, d: float, h: float) -> Piece:
    """With legs at its corners, with trestles, or round on a pedestal where w is d."""
    piece, stuff = Piece("table"), materials.wood(rng)
    base = stuff if rng.random() < 0.5 else materials.metal(rng)
    thick = rng.uniform(0.02, 0.045)
    if w == d and rng.random() < 0.7:
        piece.add(stuff, lathe([(0, 0), (w / 2, 0), (w / 2, thick), (0, thick)], z=h - thick))
        if rng.random() < 0.6:
            foot = [(0, 0), (w * 0.28, 0), (w * 0.27, 0.02), (0.06, 0.05), (0.04, h * 0.5)]
            piece.add(base, lathe([*foot, (0.07, h - thick), (0, h - thick)]))
        else:
            legs(piece, base, w * 0.5, w * 0.5, h - thick, 0.025, end=0.016, splay=w * 0.08)
        return piece
    piece.add(stuff, box(w, d, thick, z=h - thick))
    if rng.random() < 0.3:
        for x in (-w * 0.38, w * 0.38):
            for y in (-1, 1):
                piece.add(base, rod((x, y * 0.05, h - thick), (x, y * d * 0.42, 0), 0.022))
            piece.add(base, box(0.05, d * 0.8, 0.04, x, 0, h - thick - 0.04))
        return piece
    size = rng.uniform(0.04, 0.075)
    for x in (-1, 1):
        for y in (-1, 1):
            leg = box(size, size, h - thick, x * (w - size - 0.04) / 2, y * (d - size - 0.04) / 2)
            piece.add(base, leg)
        piece.add(base, box(0.02, d - 0.15, 0.08, x * (w / 2 - 0.06), 0, h - thick - 0.08))
    for y in (-1, 1):
        piece.add(base, box(w - 0.15, 0.02, 0.08, 0, y * (d / 2 - 0.06), h - thick - 0.08))
    return piece


def desk(rng: Rng) -> Piece:
    """A table with a block of drawers at one side."""
    w, d, h = rng.uniform(1.1, 1.5), rng.uniform(0.55, 0.7), rng.uniform(0.72, 0.76)
    piece, side = table(rng, w, d, h), rng.choice([-1, 1])
    stuff, knob, x = piece.parts[0][0], materials.metal(rng), side * (w / 2 - 0.28)
    piece.add(stuff, box(0.4, d - 0.1, 0.5, x, 0, h - 0.56))
    _drawers(piece, stuff, knob, 0.38, 0.48, x, -d / 2 + 0.05, h - 0.55, 3)
    return piece


def bedside(rng: Rng) -> Piece:
    """A small table with drawers."""
    piece, stuff, w, h = Piece("table"), materials.wood(rng), rng.uniform(0.38, 0.5), 0.42
    legs(piece, stuff, w - 0.08, 0.3, 0.16, 0.015)
    piece.add(stuff, box(w, 0.38, h - 0.14, z=0.14))
    _drawers(piece, stuff, materials.metal(rng), w - 0.03, h - 0.17, 0, -0.19, 0.155, 2)
    return piece


def _drawers(
    piece: Piece,
    stuff: Material,
    knob: Material,
    w: float,
    h: float,
    x: float,
    y: float,
    z: float,
    count: int,
) -> None:
    """Fronts one above the other, at the side y."""
    each = h / count
    for row in range(count):
        piece.add(stuff, box(w, 0.016, each - 0.012, x, y - 0.008, z + row * each))
        piece.add(knob, box(w * 0.3, 0.015, 0.012, x, y - 0.024, z + (row + 0.6) * each))


def shelf(rng: Rng, w: float, h: float, d: float = 0.3) -> Piece:
    """Open, of boards, filled with books, vases and boxes; some fields are closed by doors."""
    piece, stuff = Piece("shelf"), materials.wood(rng)
    if rng.random() < 0.35:
        stuff = materials.plain(materials.colour(rng, (0, 0.1), (0.8, 0.95)), "satin")
    rows, columns = max(round(h / rng.uniform(0.3, 0.42)), 1), max(round(w / 0.6), 1)
    front = materials.painted(rng) if rng.random() < 0.3 else stuff
    for x in np.linspace(-w / 2, w / 2, columns + 1):
        piece.add(stuff, box(0.022, d, h, x))
    for z in np.linspace(0.04, h - 0.022, rows + 1):
        piece.add(stuff, box(w, d, 0.022, z=z))
    if rng.random() < 0.7:
        piece.add(stuff, box(w, 0.008, h, 0, d / 2 - 0.004))
    wide, tall = w / columns, (h - 0.06) / rows
    for column in range(columns):
        for row in range(rows):
            x, z = (column + 0.5) * wide - w / 2, 0.062 + row * tall
            if row < 2 and rng.random() < 0.3:
                piece.add(front, box(wide - 0.03, 0.018, tall - 0.03, x, -d / 2, z))
                piece.add(
                    front, box(0.012, 0.02, 0.1, x + wide * 0.36, -d / 2 - 0.018, z + tall / 3)
                )
            else:
                _fill(rng, piece, x, z, wide - 0.05, tall - 0.05, d)
    return piece


def _fill(rng: Rng, piece: Piece, x: float, z: float, w: float, h: float, d: float) -> None:
    kind = rng.choice(["books", "books", "things", "nothing"])
    if kind == "things":
        tall = min(h, 0.28)
        profile = vase(rng, tall * rng.uniform(0.6, 0.95))
        piece.add(materials.painted(rng), lathe(profile, x + rng.uniform(-0.2, 0.2) * w, -0.03, z))
    if kind != "books":
        return
    left, end = x - w / 2, x - w / 2 + w * rng.uniform(0.4, 1)
    covers = [materials.plain(materials.colour(rng, (0.1, 0.8), (0.1, 0.9))) for _ in range(7)]
    while left < end - 0.05:
        thick, tall = rng.uniform(0.015, 0.05), min(rng.uniform(0.18, 0.3), h)
        depth = min(rng.uniform(0.14, 0.22), d - 0.04)
        cover = covers[rng.integers(len(covers))]
        piece.add(
            cover, box(thick - 0.002, depth, tall, left + thick / 2, -d / 2 + depth / 2 + 0.03, z)
        )
        left += thick


def vase(rng: Rng, h: float) -> list[tuple[float, float]]:
    levels = np.linspace(0, 1, 9)
    radii = 0.3 + 0.2 * np.sin(levels * rng.uniform(2, 5) + rng.uniform(0, 3))
    return [(0.0, 0.0), *zip((radii * h * 0.6).tolist(), (levels * h).tolist(), strict=True)]


def shade(rng: Rng, radius: float, h: float, on: float) -> list[tuple[Material, trimesh.Trimesh]]:
    """A lamp's: lit from inside with radiance `on`, or of cloth. Its middle is the origin."""
    upper = radius * rng.uniform(0.45, 1)
    stuff = (
        materials.glow(rng, on)
        if on
        else materials.plain(materials.colour(rng, (0, 0.3), (0.6, 0.9)))
    )
    if rng.random() < 0.3:
        return [(stuff, soft(2 * radius, 2 * radius, 1.7 * radius, z=-0.85 * radius, power=1))]
    profile = [(0, -h / 2 + 0.02), (radius, -h / 2), (upper, h / 2), (0, h / 2 - 0.02)]
    return [(stuff, lathe(profile))]


def lamp(rng: Rng, h: float, on: float) -> Piece:
    """On a foot: a floor lamp if `h` is a person's, else one for a table."""
    piece, stand = Piece("lamp"), materials.metal(rng) if h > 1 else materials.painted(rng)
    foot = 0.15 if h > 1 else 0.07
    if h > 1 or rng.random() < 0.3:
        piece.add(stand, lathe([(0, 0), (foot, 0), (foot, 0.02), (0, 0.03)]))
        piece.add(stand, rod((0, 0, 0), (0, 0, h - 0.05), 0.011))
    else:
        piece.add(stand, lathe(vase(rng, h * 0.7)))
    size = 0.2 if h > 1 else 0.13
    lift = np.eye(4)
    lift[2, 3] = h - 0.1
    piece.parts += Piece("", shade(rng, size, size * 1.3, on)).moved(lift).parts
    return piece


def pendant(rng: Rng, ceiling: float, drop: float, on: float) -> Piece:
    """Hangs from the ceiling; directly below it where `drop` is small."""
    piece, cord, lift = Piece("lamp"), materials.metal(rng), np.eye(4)
    lift[2, 3] = ceiling - drop
    radius = rng.uniform(0.15, 0.26)
    piece.parts += Piece("", shade(rng, radius, min(radius, 1.8 * drop), on)).moved(lift).parts
    piece.add(cord, rod((0, 0, ceiling - drop + 0.05), (0, 0, ceiling), 0.006))
    piece.add(cord, lathe([(0, -0.03), (0.05, -0.03), (0.05, 0)], z=ceiling))
    return piece


def plant(rng: Rng, h: float) -> Piece:
    """Leaves on a pot: long ones that arch, or a bush of round ones on stems."""
    piece, pot = Piece("plant"), materials.painted(rng)
    deep = h * rng.uniform(0.2, 0.32)
    radius = deep * rng.uniform(0.45, 0.7)
    piece.add(pot, lathe([(0, 0), (radius * 0.75, 0), (radius, deep), (radius * 0.9, deep - 0.01)]))
    earth = materials.plain(np.array([0.03, 0.02, 0.012]))
    piece.add(earth, lathe([(radius * 0.93, 0), (0, 0.001)], z=deep * 0.92))
    base = materials.hexed("#3f6b32") * rng.uniform(0.5, 1.4, 3)
    greens = [materials.plain(base * rng.uniform(0.6, 1.3), "satin") for _ in range(3)]
    arching, count = rng.random() < 0.5, int(rng.integers(14, 34))
    for index in range(count):
        angle, lean = index * 2.4 + rng.uniform(-0.3, 0.3), rng.uniform(0.15, 1.0)
        long = (h - deep) * rng.uniform(0.6, 1)
        t = np.linspace(0, 1, 9)
        out, up = lean * long * 0.6 * t ** (1.6), long * (t - 0.35 * lean * t**2)
        wide = h * (0.05 if arching else 0.13) * rng.uniform(0.7, 1.2)
        if not arching:  # a stem, and the leaf at its end
            ends = [
                (out[k] * np.cos(angle), out[k] * np.sin(angle), deep + up[k]) for k in (0, 4, 8)
            ]
            piece.add(greens[0], tube(ends, 0.004))
            out, up = out[-1] + wide * 1.5 * t, up[-1] + wide * (0.6 * t - 0.9 * t**2)
        side = wide / 2 * np.sin(np.pi * np.clip(t * 0.94 + 0.03, 0, 1)) ** 0.7
        across = np.stack([-side, np.zeros_like(side), side], axis=1)
        x = out[:, None] * np.cos(angle) - across * np.sin(angle)
        y = out[:, None] * np.sin(angle) + across * np.cos(angle)
        z = deep + up[:, None] + np.abs(across) * 0.3
        piece.add(greens[index % 3], sheet(np.stack([x, y, z], axis=-1)))
    return piece
