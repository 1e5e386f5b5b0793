"""Other designs of the furniture, for training alone: each stands on z = 0 and faces +y.

They are built to any size: `variety.fitted` stretches them into the place of the piece that they
replace. `DESIGNS` lists, for a design of the demo's rooms, what may stand in its place.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import cushion, disc, ellipsoid, lathe, rod, rounded, surface, tube
from demo.rooms.furniture import board
from demo.rooms.geometry import Mesh, beam, box, boxes, pane, pitch, prism, transformed, yaw
from demo.rooms.item import BED, CHAIR, LAMP, PICTURE, PLANT, RUG, SHELF, SOFA, TABLE, Item
from demo.rooms.materials import (
    COLOURS,
    Material,
    any_colour,
    chance,
    fabric,
    jittered,
    leather,
    metal,
    painted,
    pick,
    plastic,
    solid,
    wood,
)
from demo.rooms.seats import cover_for

Design = Callable[[Generator], Item]


def _pad(
    rng: Generator, size: tuple[float, float, float], centre: tuple[float, float, float]
) -> Mesh:
    """Upholstery: a plain block or a more or less round one."""
    if chance(rng, 0.35):
        return box(size, centre)
    return cushion(size, centre, float(rng.uniform(0.1, 0.55)))


def _legs(rng: Generator, w: float, d: float, h: float) -> list[Mesh]:
    """Four legs, square or round, upright or splayed, to the corners of w x d at height h."""
    thick, splay = float(rng.uniform(0.018, 0.07)), float(rng.choice((0.0, 0.03, 0.1)))
    made = []
    for s in (-1, 1):
        for t in (-1, 1):
            top = (s * (w / 2 - thick / 2), t * (d / 2 - thick / 2), h)
            foot = (top[0] + s * splay, top[1] + t * splay, 0.0)
            made.append((foot, top))
    if chance(rng, 0.5):
        return [prism(foot, top, (thick, thick)) for foot, top in made]
    return [rod(foot, top, thick * 0.35, thick * 0.55) for foot, top in made]


def _base(rng: Generator, w: float, d: float, h: float) -> list[Mesh]:
    """What carries a seat or a table top: legs, runners, a foot, or panels."""
    kind = pick(rng, ("legs", "legs", "legs", "runners", "foot", "panels", "cross"))
    t = float(rng.uniform(0.02, 0.05))
    if kind == "legs":
        return _legs(rng, w, d, h)
    if kind == "runners":
        made = []
        for s in (-1, 1):
            x = s * (w / 2 - t)
            made += [beam((x, -d / 2, t / 2), (x, d / 2, t / 2), t, t)]
            made += [beam((x, k * (d / 2 - t), 0), (x, k * (d / 2 - t), h), t, t) for k in (-1, 1)]
        return made
    if kind == "foot":
        r = min(w, d) * float(rng.uniform(0.3, 0.5))
        profile = [(0, 0), (r, 0), (r, 0.02), (0.05, 0.05), (0.035, h - 0.03), (r * 0.4, h)]
        return [lathe(profile)]
    if kind == "panels":
        return [box((t, d * 0.9, h), (s * (w / 2 - t), 0, h / 2)) for s in (-1, 1)]
    made = []
    for s in (-1, 1):
        x = s * (w / 2 - t)
        made += [beam((x, -k * d / 2, 0), (x, k * d / 2, h), t, t) for k in (-1, 1)]
    return made


def _chair_back(rng: Generator, w: float, low: float, high: float) -> list[Mesh]:
    """A back rest over the width w in the plane y = 0, from z = low to high."""
    kind = pick(rng, ("pad", "board", "ladder", "bars", "ring", "grid"))
    middle, tall, t = (low + high) / 2, high - low, float(rng.uniform(0.02, 0.045))
    if kind == "pad":
        gap = float(rng.uniform(0.0, 0.3)) * tall
        return [
            _pad(rng, (w, float(rng.uniform(0.04, 0.12)), tall - gap), (0, 0, middle + gap / 2))
        ]
    if kind == "board":
        cut = float(rng.uniform(0.2, 1.0)) * tall
        posts = [box((t, t, tall), (s * (w / 2 - t), 0, middle)) for s in (-1, 1)]
        return [box((w, t, cut), (0, 0, high - cut / 2)), *posts]
    if kind == "ring":
        angle = np.linspace(0, np.pi, 15)
        path = np.stack([w / 2 * np.cos(angle), 0 * angle, low + tall * np.sin(angle) ** 0.5], 1)
        inner = _pad(rng, (w * 0.6, t, tall * 0.6), (0, 0, middle))
        return [tube(path, t / 2), *([inner] if chance(rng, 0.5) else [])]
    posts = [box((t, t, tall), (s * (w / 2 - t / 2), 0, middle)) for s in (-1, 1)]
    rails = [box((w, t * 0.8, t * 1.5), (0, 0, high - t))]
    if kind in ("ladder", "grid"):
        for z in np.linspace(low, high, int(rng.integers(4, 7)))[1:-1]:
            rails.append(box((w, t * 0.6, float(rng.uniform(0.02, 0.06))), (0, 0, float(z))))
    if kind in ("bars", "grid"):
        rails.append(box((w, t * 0.8, t), (0, 0, low + 0.06)))
        for x in np.linspace(-w / 2, w / 2, int(rng.integers(5, 9)))[1:-1]:
            rails.append(rod((float(x), 0, low), (float(x), 0, high), 0.009))
    return [*posts, *rails]


def chair(rng: Generator) -> Item:
    """A chair of any base, seat and back, with arms or without."""
    item = Item(CHAIR, "chair")
    frame = pick(rng, (wood, wood, metal, painted, plastic))(rng)
    cover = pick(rng, (cover_for, wood, plastic, painted))(rng)
    w, d, h = (float(v) for v in rng.uniform((0.4, 0.38, 0.38), (0.56, 0.52, 0.52)))
    high, thick = float(rng.uniform(0.68, 1.15)), float(rng.uniform(0.02, 0.1))
    item.add("legs", frame, *_base(rng, w, d, h))
    seat = disc(w / 2, h + thick, thick) if chance(rng, 0.2) else None
    item.add("seat", cover, seat or _pad(rng, (w, d, thick), (0, 0, h + thick / 2)))
    lean = pitch(float(rng.uniform(0.0, 0.25)))
    back = _chair_back(rng, w * float(rng.uniform(0.8, 1.0)), 0.0, high - h)
    item.add(
        "back",
        cover if chance(rng, 0.5) else frame,
        *[transformed(m, lean, (0, -d / 2 + 0.02, h)) for m in back],
    )
    if chance(rng, 0.3):
        for s in (-1, 1):
            x, z = s * w / 2, h + float(rng.uniform(0.16, 0.24))
            item.add("armrests", frame, beam((x, -d / 2, z), (x, d * 0.4, z), 0.04, 0.03))
            item.add("", frame, beam((x, d * 0.3, h), (x, d * 0.3, z), 0.03, 0.03))
    return item


def easy_chair(rng: Generator) -> Item:
    """A padded chair: seat, back, and arms of blocks or cushions, with wings now and then."""
    item = _padded(rng, CHAIR, "easy chair", 1)
    if chance(rng, 0.25):
        low, high = item.bounds()
        for s in (-1, 1):
            size = (0.08, 0.25, float(high[2]) * 0.5)
            centre = (s * (float(high[0]) - 0.06), float(low[1]) + 0.2, float(high[2]) * 0.72)
            item.add("wings", item.materials[0], _pad(rng, size, centre))
    return item


def sofa(rng: Generator) -> Item:
    """A sofa of one to four cushions."""
    return _padded(rng, SOFA, "sofa", int(rng.integers(1, 5)))


def _padded(rng: Generator, label: int, design: str, seats: int) -> Item:
    item = Item(label, design)
    cover = pick(rng, (fabric, fabric, leather))(rng)
    seat = 0.62 if label == CHAIR else 1.9 / seats
    arm, d = float(rng.choice((0.0, 0.1, 0.16, 0.26))), float(rng.uniform(0.7, 1.0))
    w, h, foot = seats * seat + 2 * arm, float(rng.uniform(0.34, 0.46)), float(rng.uniform(0, 0.2))
    back, tall = float(rng.uniform(0.1, 0.26)), float(rng.uniform(0.62, 1.0))
    base = (h + foot) / 2
    item.add("", cover, _pad(rng, (w, d, h - foot - 0.08), (0, 0, base - 0.04)))
    if foot > 0.04:
        item.add("feet", pick(rng, (wood, metal))(rng), *_legs(rng, w * 0.9, d * 0.85, foot))
    item.add(
        "back", cover, _pad(rng, (w, back, tall - foot), (0, -d / 2 + back / 2, (tall + foot) / 2))
    )
    if arm:
        high = float(rng.uniform(0.5, 0.7)) if chance(rng, 0.8) else tall
        for s in (-1, 1):
            centre = (s * (w - arm) / 2, 0.0, (high + foot) / 2)
            item.add("armrests", cover, _pad(rng, (arm, d, high - foot), centre))
            if chance(rng, 0.25):
                x = s * (w - arm) / 2
                item.add("", cover, rod((x, -d / 2, high), (x, d / 2, high), arm * 0.6))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * seat
        item.add(
            "seat cushions", cover, _pad(rng, (seat - 0.015, d - back, 0.15), (x, back / 2, h))
        )
        if chance(rng, 0.6):
            pad = _pad(rng, (seat - 0.03, 0.14, tall - h), (0, 0, (tall - h) / 2))
            place = (x, -d / 2 + back + 0.05, h + 0.06)
            item.add("", cover, transformed(pad, pitch(0.15), place))
    for _ in range(int(rng.integers(0, 3))):
        pillow = _pad(rng, (0.4, 0.12, 0.38), (0, 0, 0.19))
        x = float(rng.uniform(-0.4, 0.4)) * seats * seat
        place = (x, -d / 2 + back + 0.2, h + 0.08)
        item.add("cushions", fabric(rng, patterned=0.6), transformed(pillow, pitch(0.35), place))
    return item


def bed(rng: Generator) -> Item:
    """A bed on legs, a platform or drawers, its cover from head to foot or turned back."""
    item = Item(BED, "bed")
    w, n = float(rng.uniform(0.9, 1.9)), 2.05
    frame = pick(rng, (wood, painted, fabric, metal, leather))(rng)
    low, thick = float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.14, 0.3))
    top = low + 0.15 + thick
    if low > 0.08:
        item.add("legs", frame, *_legs(rng, w * 0.95, n * 0.95, low))
    item.add("frame", frame, box((w + 0.06, n, 0.15), (0, 0, low + 0.075)))
    sheet, cover = fabric(rng, patterned=0.1), fabric(rng, patterned=0.5)
    item.add("mattress", sheet, _pad(rng, (w, n - 0.06, thick), (0, 0, low + 0.15 + thick / 2)))
    reach = float(rng.uniform(0.5, 0.95)) * n
    hang = float(rng.choice((0.04, 0.2, 0.45))) * top
    size = (w + 0.08, reach, 0.07 + hang)
    item.add(
        "blanket", cover, _pad(rng, size, (0, n / 2 - reach / 2 + 0.02, top + 0.04 - hang / 2))
    )
    for k in range(int(rng.integers(1, 3)) if w > 1.2 else 1):
        x = (k - 0.5) * w * 0.48 if w > 1.2 else 0.0
        pillow = _pad(rng, (min(0.75, w * 0.45), 0.4, 0.14), (x, -n / 2 + 0.3, top + 0.1))
        item.add("pillows", sheet if chance(rng, 0.5) else fabric(rng), pillow)
    style = pick(rng, ("board", "board", "bars", "posts", "none"))
    head = top + float(rng.uniform(0.2, 0.8))
    if style == "board":
        item.add("headboard", frame, _pad(rng, (w + 0.1, 0.08, head), (0, -n / 2, head / 2)))
    elif style != "none":
        for y, high in ((-n / 2, head), (n / 2, head * 0.75)):
            bars = [rod((x, y, 0), (x, y, high), 0.015) for x in np.linspace(-w / 2, w / 2, 6)]
            item.add("headboard", frame, *bars, rod((-w / 2, y, high), (w / 2, y, high), 0.02))
    return item


def table(rng: Generator) -> Item:
    """A table of any base with a rectangular, round or oval top."""
    item = Item(TABLE, "table")
    top = pick(rng, (board, board, painted, plastic))(rng)
    if chance(rng, 0.12):
        top = solid((0.62, 0.72, 0.72), 0.9, "glass")
    frame = top if chance(rng, 0.4) else pick(rng, (wood, metal, painted))(rng)
    w, d, h = (float(v) for v in rng.uniform((0.8, 0.5, 0.4), (1.8, 0.95, 0.78)))
    thick = float(rng.uniform(0.015, 0.08))
    if chance(rng, 0.35):
        plate = disc(0.5, h, thick)
        item.add("top", top, transformed(plate, np.diag([w, w, 1.0]), (0, 0, 0)))
        item.add("legs", frame, *_base(rng, w * 0.65, w * 0.65, h - thick))
        return item
    item.add("top", top, box((w, d, thick), (0, 0, h - thick / 2)))
    item.add("legs", frame, *_base(rng, w * float(rng.uniform(0.75, 1.0)), d * 0.9, h - thick))
    if chance(rng, 0.4):
        item.add("", frame, box((w * 0.9, d * 0.85, 0.09), (0, 0, h - thick - 0.045)))
    if chance(rng, 0.2):
        drawers = box((w * 0.3, d * 0.9, h * 0.8), (w * 0.32, 0, h * 0.45))
        item.add("drawers", frame, drawers)
    return item


def open_shelf(rng: Generator) -> Item:
    """Boards with books, boxes or nothing: a case, a ladder, or a grid."""
    item = Item(SHELF, "shelf")
    w, d, h = (float(v) for v in rng.uniform((0.6, 0.25, 0.8), (1.6, 0.42, 2.1)))
    body, t = board(rng), float(rng.uniform(0.015, 0.05))
    rows, columns = int(rng.integers(2, 7)), int(rng.choice((1, 1, 2, 3, 4)))
    posts = metal(rng) if chance(rng, 0.3) else body
    if chance(rng, 0.3):  # open sides: posts alone
        item.add("posts", posts, *_legs(rng, w, d, h))
    else:
        xs = np.linspace(-w / 2, w / 2, columns + 1)
        item.add("sides", body, *[box((t, d, h), (float(x), 0, h / 2)) for x in xs])
    if chance(rng, 0.6):
        item.add(
            "", board(rng) if chance(rng, 0.3) else body, box((w, 0.01, h), (0, -d / 2, h / 2))
        )
    levels = np.linspace(0.06, h - t, rows + 1)
    item.add("shelf boards", body, *[box((w, d, t), (0, 0, float(z))) for z in levels])
    step, cell = float(levels[1] - levels[0]), w / columns
    for z in levels[:-1]:
        for c in range(columns):
            x = -w / 2 + cell * (c + 0.5)
            _fill(rng, item, (x, float(z) + t), (cell - t, d, step - t))
    return item


def _fill(
    rng: Generator, item: Item, at: tuple[float, float], size: tuple[float, float, float]
) -> None:
    """What stands in one compartment of a shelf, whose floor's middle is at (x, z) = `at`."""
    (x, z), (w, d, h) = at, size
    kind = pick(rng, ("books", "books", "box", "things", "nothing"))
    if kind == "box":
        made = pick(rng, (plastic, fabric, wood))(rng)
        item.add("boxes", made, box((w * 0.85, d * 0.8, h * 0.7), (x, 0.02, z + h * 0.35)))
    elif kind == "books":
        count = max(2, int(w / float(rng.uniform(0.03, 0.07)) * float(rng.uniform(0.4, 1))))
        wide = float(rng.uniform(0.6, 0.98)) * w / count
        high = h * rng.uniform(0.55, 0.95, count)
        sizes = np.stack([np.full(count, wide * 0.92), np.full(count, d * 0.75), high], 1)
        xs = x - w / 2 + wide * (np.arange(count) + 0.5)
        centres = np.stack([xs, np.full(count, d * 0.08), z + high / 2], 1)
        groups = rng.integers(0, 4, count)
        for k in np.unique(groups):
            paper = solid(jittered(rng, COLOURS[any_colour(rng)]), 0.1)
            item.add("books", paper, boxes(sizes[groups == k], centres[groups == k]))
    elif kind == "things":
        for s in (-0.25, 0.2):
            r = min(w, h, d) * float(rng.uniform(0.12, 0.3))
            profile = [(0, 0), (r * 0.7, 0), (r, r), (r * 0.5, r * 1.8), (r * 0.6, r * 2)]
            item.add("", plastic(rng), lathe(profile, (x + s * w, 0.0, z)))


def cabinet(rng: Generator) -> Item:
    """A closed cabinet: doors, drawers or both, on legs or not, with any handles."""
    item = Item(SHELF, "cabinet")
    w, d, h = (float(v) for v in rng.uniform((0.5, 0.35, 0.5), (1.8, 0.6, 2.1)))
    body = board(rng)
    front, knob = (body if chance(rng, 0.5) else board(rng)), pick(rng, (metal, wood))(rng)
    foot = float(rng.choice((0.0, 0.06, 0.18)))
    item.add("body", body, box((w, d, h - foot), (0, 0, (h + foot) / 2)))
    if foot:
        item.add("legs", front, *_legs(rng, w * 0.95, d * 0.9, foot))
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    cell, tall = w / columns, (h - foot) / rows
    style = pick(rng, ("knob", "bar", "none", "long"))
    for c in range(columns):
        for r in range(rows):
            x, z = -w / 2 + cell * (c + 0.5), foot + tall * (r + 0.5)
            item.add("doors", front, box((cell - 0.02, 0.02, tall - 0.02), (x, d / 2 + 0.01, z)))
            if style == "knob":
                item.add(
                    "",
                    knob,
                    ellipsoid((0.018, 0.018, 0.018), (x + cell * 0.3, d / 2 + 0.03, z), 6, 8),
                )
            elif style != "none":
                wide = cell * (0.8 if style == "long" else 0.25)
                item.add(
                    "handles", knob, box((wide, 0.025, 0.015), (x, d / 2 + 0.03, z + tall * 0.25))
                )
    return item


def _shade(rng: Generator, lit: bool) -> Material:
    colour = jittered(rng, COLOURS[any_colour(rng)] if chance(rng, 0.5) else (0.92, 0.88, 0.78))
    kind = pick(rng, ("plain", "plain", "plain", "stripes", "weave", "dots"))
    second = jittered(rng, colour, 0.2)
    glow = float(rng.choice((0.0, 0.6, 1.6, 2.4))) if lit else 0.0
    return Material(kind, colour, second, float(rng.uniform(0.03, 0.1)), 0.1, glow)


def _shade_shape(rng: Generator, r: float, z: float) -> list[Mesh]:
    """A lamp shade of radius about r around the height z."""
    kind = pick(
        rng, ("cone", "drum", "globe", "bowl", "torch", "box", "bell", "pleats", "cylinder")
    )
    tall = r * float(rng.uniform(0.7, 2.0))
    if kind == "globe":
        return [ellipsoid((r, r, r * float(rng.uniform(0.6, 1.1))), (0, 0, z))]
    if kind == "box":
        return [box((1.6 * r, 1.6 * r, tall), (0, 0, z))]
    if kind == "pleats":
        rings = [(r * (0.9 + 0.1 * (k % 2)), z + tall * (k / 6 - 0.5)) for k in range(7)]
        return [lathe(rings)]
    outline = {
        "cone": [(r, z - tall / 2), (r * float(rng.uniform(0.15, 0.6)), z + tall / 2)],
        "drum": [(r, z - r * 0.5), (r, z + r * 0.5)],
        "cylinder": [(r * 0.5, z - r), (r * 0.5, z + r)],
        "bowl": [(r, z - r * 0.2), (r * 0.85, z + r * 0.3), (0.03, z + r * 0.6)],
        "torch": [(0.03, z - r * 0.4), (r * 0.8, z), (r, z + r * 0.3)],
        "bell": [
            (r, z - tall / 2),
            (r * 0.6, z - tall / 4),
            (r * 0.45, z + tall / 4),
            (r * 0.2, z + tall / 2),
        ],
    }[kind]
    return [lathe(outline)]


def floor_lamp(rng: Generator) -> Item:
    """A lamp that stands: a pole, legs, a column or a bow, with any shade or several."""
    item = Item(LAMP, "floor lamp")
    lit = chance(rng, 0.5)
    frame, shade = pick(rng, (metal, wood, painted))(rng), _shade(rng, lit)
    top, r = float(rng.uniform(1.2, 1.8)), float(rng.uniform(0.12, 0.3))
    kind = pick(rng, ("pole", "pole", "legs", "column", "branches", "bow"))
    thick = float(rng.uniform(0.01, 0.03))
    if kind == "column":
        item.add("shade", shade, lathe([(r * 0.6, 0.05), (r * 0.6, top)]))
        item.add("foot", frame, lathe([(0, 0), (r * 0.7, 0), (r * 0.7, 0.05), (0, 0.05)]))
        return item
    if kind == "legs":
        for k in range(int(rng.integers(3, 5))):
            a = k * 2.09
            foot = (0.25 * float(np.cos(a)), 0.25 * float(np.sin(a)), 0)
            item.add("legs", frame, rod(foot, (0, 0, top * 0.9), thick))
    else:
        wide = float(rng.uniform(0.1, 0.18))
        item.add("foot", frame, lathe([(0, 0), (wide, 0), (wide, 0.03), (0, 0.04)]))
        item.add("pole", frame, rod((0, 0, 0), (0, 0, top), thick))
    if kind == "branches":
        for k in range(int(rng.integers(2, 5))):
            a, z = k * 2.2, top * (1 - 0.15 * k)
            end = (0.25 * float(np.cos(a)), 0.25 * float(np.sin(a)), z + 0.05)
            item.add("arms", frame, rod((0, 0, z - 0.1), end, thick * 0.7))
            parts = [transformed(m, np.eye(3), end) for m in _shade_shape(rng, r * 0.5, 0.0)]
            item.add("shade", shade, *parts)
        return item
    if kind == "bow":
        path = rounded(
            [(0, 0, top * 0.8), (0, 0, top * 1.1), (0.4, 0, top * 1.1), (0.45, 0, top)], 0.3
        )
        item.add("bow", frame, tube(path, thick))
        item.add(
            "shade",
            shade,
            *[transformed(m, np.eye(3), (0.45, 0, 0)) for m in _shade_shape(rng, r, top)],
        )
        return item
    item.add("shade", shade, *_shade_shape(rng, r, top))
    return item


def table_lamp(rng: Generator) -> Item:
    """A lamp for tables: any foot under any shade."""
    item = Item(LAMP, "table lamp")
    frame, shade = pick(rng, (metal, wood, painted, plastic))(rng), _shade(rng, chance(rng, 0.5))
    h, r = float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.09, 0.19))
    b = float(rng.uniform(0.03, 0.1))
    foot = pick(
        rng,
        (
            [(0, 0), (b, 0), (b, 0.02), (0.012, 0.03), (0.012, h)],
            [(0, 0), (b * 0.6, 0), (b, h * 0.4), (b * 0.3, h * 0.7), (0.012, h)],
            [(0, 0), (b, 0), (b, h * 0.6), (0.012, h * 0.65), (0.012, h)],
            [(0, 0), (b, 0), (0.02, h)],
        ),
    )
    item.add("foot", frame, lathe(foot))
    item.add("shade", shade, *_shade_shape(rng, r, h + r * 0.3))
    return item


def pendant(rng: Generator) -> Item:
    """A lamp that hangs by a cable: one shade, a cluster, a beam or a ring with arms."""
    item = Item(LAMP, "pendant lamp")
    frame, shade = metal(rng), _shade(rng, chance(rng, 0.6))
    r, drop = float(rng.uniform(0.12, 0.3)), float(rng.uniform(0.3, 1.0))
    kind = pick(rng, ("one", "one", "one", "cluster", "ring", "beam"))
    item.add("cable", frame, rod((0, 0, 0), (0, 0, drop), 0.006))
    if kind == "one":
        item.add("shade", shade, *_shade_shape(rng, r, 0.0))
        return item
    spots = [(-0.4, 0.0), (0.0, 0.0), (0.4, 0.0)]
    if kind != "beam":
        spots = [(float(np.cos(a)) * 0.3, float(np.sin(a)) * 0.3) for a in np.arange(5) * 1.2566]
    for x, y in spots:
        z = float(rng.uniform(-0.2, 0.1)) if kind == "cluster" else 0.0
        item.add("arms", frame, rod((0, 0, 0.12), (x, y, z + 0.1), 0.01))
        parts = _shade_shape(rng, r * 0.4, z)
        item.add("shade", shade, *[transformed(m, np.eye(3), (x, y, 0)) for m in parts])
    return item


def wall_lamp(rng: Generator, lit: bool) -> Item:
    """A lamp on a wall, its back at y = 0."""
    item = Item(LAMP, "wall lamp")
    frame = pick(rng, (metal, wood, painted))(rng)
    out, r = float(rng.uniform(0.1, 0.25)), float(rng.uniform(0.07, 0.13))
    item.add("plate", frame, box((0.1, 0.02, 0.14), (0, 0.01, 0)))
    item.add("arm", frame, rod((0, 0.01, 0), (0, out, 0.02), 0.012))
    parts = _shade_shape(rng, r, 0.06)
    item.add("shade", _shade(rng, lit), *[transformed(m, np.eye(3), (0, out, 0)) for m in parts])
    return item


def plant(rng: Generator) -> Item:
    """A plant in a pot: balls of leaves, long leaves, broad leaves, stalks or flowers."""
    item = Item(PLANT, "pot plant")
    pot = pick(rng, (plastic, painted, wood, metal))(rng)
    r = float(rng.uniform(0.1, 0.22))
    tall = r * float(rng.uniform(0.8, 3.0))
    if chance(rng, 0.3):
        item.add("pot", pot, box((2 * r, 2 * r, tall), (0, 0, tall / 2)))
    else:
        waist, lip = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.7, 1.1))
        item.add(
            "pot", pot, lathe([(0, 0), (r * waist, 0), (r, tall * 0.6), (r * lip, tall), (0, tall)])
        )
    first = tuple(
        float(v) for v in np.clip(rng.normal((0.24, 0.42, 0.18), (0.12, 0.1, 0.08)), 0.05, 0.9)
    )
    second = tuple(float(v) for v in np.clip(np.array(first) * rng.uniform(0.5, 1.7), 0.04, 0.95))
    kind = "foliage" if chance(rng, 0.5) else "plain"
    leaf = Material(kind, first, second, 1.0, 0.15, phase=float(rng.random()))  # type: ignore[arg-type]
    style = pick(rng, ("balls", "long", "broad", "stalks", "flowers", "cone"))
    high = float(rng.uniform(0.3, 1.2))
    if style in ("balls", "cone"):
        trunk = float(rng.uniform(0.0, 0.5))
        item.add("trunk", wood(rng), rod((0, 0, tall - 0.02), (0, 0, tall + trunk + 0.1), 0.02))
        if style == "cone":
            item.add(
                "leaves",
                leaf,
                lathe(
                    [
                        (0.25, tall + trunk),
                        (0.15, tall + trunk + high / 2),
                        (0, tall + trunk + high),
                    ]
                ),
            )
            return item
        for _ in range(int(rng.integers(1, 12))):
            size = float(rng.uniform(0.1, 0.25))
            x, y, z = rng.normal(0, 0.1, 3)
            centre = (float(x), float(y), tall + trunk + size + abs(float(z)))
            item.add("leaves", leaf, ellipsoid((size, size, size * 0.8), centre, 7, 9))
        return item
    count = int(rng.integers(6, 28))
    for _ in range(count):
        a, lean = float(rng.uniform(0, 6.28)), float(rng.uniform(0.1, 1.2))
        n = high * float(rng.uniform(0.5, 1.0))
        wide = n * {"long": 0.06, "broad": 0.35, "stalks": 0.03, "flowers": 0.04}[style]
        t = np.linspace(0, 1, 6)
        shape = wide * np.sin(np.pi * np.clip(t, 0.04, 0.96)) ** (2.0 if style == "broad" else 0.7)
        y = n * np.sin(lean) * t
        z = n * np.cos(lean) * t - float(rng.uniform(0, 0.5)) * n * t**2
        points = np.stack([np.stack([s * shape, y, z], 1) for s in (-1, 0, 1)], axis=1)
        item.add("leaves", leaf, transformed(surface(points), yaw(a), (0, 0, tall)))
        if style == "flowers":
            tip = yaw(a) @ points[-1, 1] + (0, 0, tall)
            petals = solid(jittered(rng, COLOURS[any_colour(rng)]))
            item.add(
                "flowers", petals, ellipsoid((0.05, 0.05, 0.04), tuple(float(v) for v in tip), 5, 7)
            )
    return item


def rug(rng: Generator) -> Item:
    """A rug of any pattern: rectangular, oval or polygonal, with border, fringe or neither."""
    item = Item(RUG, "rug")
    kinds = (
        "plain", "plain", "weave", "carpet", "ornament", "waves", "stripes", "checks", "blossoms",
        "dots", "herringbone", "chequer", "gingham", "damask", "marble", "plaster",
    )  # fmt: skip
    first, second = (jittered(rng, COLOURS[any_colour(rng)]) for _ in range(2))
    scale = float(np.exp(rng.uniform(np.log(0.05), np.log(0.7))))
    pile = Material(pick(rng, kinds), first, second, scale, 0, phase=float(rng.random()))
    other = solid(second, 0)
    w, d = 2.0, 1.4
    if chance(rng, 0.3):
        sides = int(rng.choice((6, 8, 40)))
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        for scaled, z, coat in ((1.0, 0.006, pile), (0.6, 0.008, other))[: int(rng.integers(1, 3))]:
            ring = np.stack([w / 2 * scaled * np.cos(angle), d / 2 * scaled * np.sin(angle)], 1)
            flat = np.zeros((2, sides + 1, 3))
            flat[:, :, 2] = z
            flat[1, :, :2] = ring
            item.add("pile", coat, surface(flat))
        return item
    item.add("pile", pile, box((w, d, 0.008), (0, 0, 0.004)))
    for k in range(int(rng.integers(0, 3))):
        inset, wide = 0.06 + 0.16 * k, float(rng.uniform(0.03, 0.12))
        x, y = w - 2 * inset, d - 2 * inset
        coat = other if k == 0 else solid(jittered(rng, COLOURS[any_colour(rng)]), 0)
        strips = [box((x, wide, 0.009), (0, s * y / 2, 0.0055)) for s in (-1, 1)]
        strips += [box((wide, y, 0.009), (s * x / 2, 0, 0.0055)) for s in (-1, 1)]
        item.add("border", coat, *strips)
    if chance(rng, 0.3):
        for s in (-1, 1):
            for y in np.arange(-d / 2 + 0.02, d / 2, 0.05):
                centre = (s * (w / 2 + 0.04), float(y), 0.003)
                item.add("fringe", other, box((0.08, 0.015, 0.004), centre))
    return item


def picture(rng: Generator) -> Item:
    """A picture or mirror, its back at y = 0 and its middle at z = 0."""
    item = Item(PICTURE, "picture")
    w, h = float(rng.uniform(0.4, 1.1)), float(rng.uniform(0.4, 1.0))
    frame = pick(rng, (wood, metal, painted, plastic))(rng)
    kinds = (
        "painting",
        "painting",
        "painting",
        "waves",
        "plain",
        "dots",
        "stripes",
        "marble",
        "blossoms",
    )
    first, second = (jittered(rng, COLOURS[any_colour(rng)]) for _ in range(2))
    canvas = Material(
        pick(rng, kinds), first, second, float(rng.uniform(0.08, 0.4)), 0.1, 0, float(rng.random())
    )
    edge = float(rng.choice((0.0, 0.015, 0.04, 0.09)))
    if chance(rng, 0.12):
        item.add("frame", frame, transformed(disc(w / 2, 0.015, 0.015), _UPRIGHT, (0, 0.01, 0)))
        item.add(
            "canvas", canvas, transformed(disc(w / 2 - edge, 0.02, 0.01), _UPRIGHT, (0, 0.02, 0))
        )
        return item
    item.add("frame", frame, box((w, 0.025, h), (0, 0.0125, 0)))
    inner = float(rng.choice((0.0, 0.06)))
    if inner:
        item.add("", solid((0.93, 0.92, 0.9)), pane(w - 2 * edge, h - 2 * edge, (0, 0.027, 0)))
    item.add("canvas", canvas, pane(w - 2 * (edge + inner), h - 2 * (edge + inner), (0, 0.03, 0)))
    return item


_UPRIGHT = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)

DESIGNS: dict[str, tuple[Design, ...]] = {
    **dict.fromkeys(
        (
            "kitchen chair", "armchair", "folding chair", "windsor chair", "stacking chair",
            "cantilever chair", "high-back chair", "shell chair", "low-back stool", "bar stool",
            "office chair",
        ),
        (chair,),
    ),
    **dict.fromkeys(("tub chair", "easy chair"), (easy_chair, chair)),
    **dict.fromkeys(("two-seat sofa", "three-seat sofa", "corner sofa"), (sofa,)),
    **dict.fromkeys(("single bed", "double bed"), (bed,)),
    **dict.fromkeys(
        ("dining table", "round dining table", "desk", "coffee table", "side table"), (table,)
    ),
    **dict.fromkeys(
        ("bookshelf", "sideboard", "wardrobe", "chest of drawers", "bedside cabinet"),
        (open_shelf, cabinet),
    ),
    **dict.fromkeys(("floor lamp", "arc lamp"), (floor_lamp,)),
    **dict.fromkeys(("table lamp", "desk lamp"), (table_lamp,)),
    "pendant lamp": (pendant,),
    **dict.fromkeys(("pot plant", "palm", "snake plant", "indoor tree", "cactus"), (plant,)),
    **dict.fromkeys(("picture", "mirror"), (picture,)),
    **dict.fromkeys(("rug", "round rug"), (rug,)),
}  # fmt: skip
