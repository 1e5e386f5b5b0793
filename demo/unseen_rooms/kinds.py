"""Rooms of seven kinds, furnished at random."""

from collections.abc import Callable

import numpy as np

from demo.unseen_rooms import fittings, furniture, materials, seats
from demo.unseen_rooms.layout import Placed, Room, hole, pose
from demo.unseen_rooms.materials import Rng


def furnished(rng: Rng) -> Room:
    """A room of a random kind, with everything but its walls."""
    size = rng.uniform((3.4, 3.4, 2.4), (5.2, 4.9, 2.9))
    room = Room(rng, size, night=bool(rng.random() < 0.2))
    _openings(room)
    KINDS[rng.choice(len(KINDS), p=SHARES)](room)
    _common(room)
    return room


def _openings(room: Room) -> None:
    """One to three windows, one or two doors."""
    rng = room.rng
    height, sill = rng.uniform(2.0, 2.1), rng.choice([0.05, 0.75, 0.9], p=[0.15, 0.4, 0.45])
    stuff = materials.fabric(rng, (0, 0.4))
    with_curtains, walls = rng.random() < 0.6, rng.permutation(4)
    for wall in walls[: rng.integers(2, 4)]:
        w = rng.uniform(1.0, min(2.2, room.wall_length(wall) - 0.8))
        at = hole(room, int(wall), w, float(sill), height)
        piece = fittings.window(rng, w, float(sill), height - float(sill), room.night)
        room.placed.append(Placed(piece, at, piece.moved(at).bounds()))
        for side in (-1, 1) if with_curtains else ():
            hung = fittings.curtain(rng, 0.34, height + 0.15, 0.03 if sill < 0.8 else 0.5, stuff)
            room.put(hung, at @ pose(side * (w / 2 + 0.1), 0), (room.placed[-1],))
        if not room.night and rng.random() < 0.4:
            middle, to = np.array([0, -0.15, (sill + height) / 2, 1]), rng.uniform(-1.2, 1.2)
            room.suns.append(((at @ middle)[:3], (at @ [to, -rng.uniform(1.2, 2), 0, 1])[:3]))
    w = rng.uniform(0.8, 0.92)
    at = hole(room, int(walls[3]), w, 0, 2.03, clear=0.75)
    piece = fittings.door(rng, w, 2.03)
    room.placed.append(Placed(piece, at, piece.moved(at).bounds()))


def _common(room: Room) -> None:
    """Pictures, plants, lamps and a little clutter: what rooms of all kinds have."""
    rng = room.rng
    drop = rng.choice([0.08, rng.uniform(0.4, 0.7)])
    if rng.random() < 0.6:
        hung = furniture.pendant(rng, room.size[2], drop, room.light)
        room.put(hung, pose(*(room.size[:2] * rng.uniform(0.4, 0.6, 2))))
    for _ in range(int(rng.integers(0, 2))):
        room.against(furniture.plant(rng, rng.uniform(0.5, 1.5)), gap=0.03)
    if rng.random() < 0.5:
        room.against(furniture.lamp(rng, rng.uniform(1.4, 1.75), room.light), gap=0.05)
    for _ in range(int(rng.integers(1, 5))):
        room.against(fittings.picture(rng), z=rng.uniform(1.15, 1.5), gap=0)
    if rng.random() < 0.25:
        room.against(fittings.carton(rng), gap=rng.uniform(0.02, 0.3))
    for base in [p for p in room.placed if p.piece.label in ("table", "shelf")]:
        for _ in range(int(rng.integers(0, 4)) if base.bounds[1, 2] < 1.3 else 0):
            room.on_top(fittings.trifle(rng), base)
        if base.bounds[1, 2] < 1 and rng.random() < 0.2:
            room.on_top(furniture.plant(rng, rng.uniform(0.25, 0.45)), base)


def living(room: Room) -> None:
    rng, wall = room.rng, int(room.rng.integers(4))
    sofa = room.against(seats.sofa(rng), wall)
    if sofa:
        if rng.random() < 0.75:
            rug = fittings.rug(rng, rng.uniform(1.8, 2.6), rng.uniform(1.3, 1.9))
            room.put(rug, sofa.matrix @ pose(0, -1.15))
        w, d = rng.uniform(0.7, 1.2), rng.uniform(0.5, 0.7)
        low = furniture.table(rng, *((d + 0.2,) * 2 if rng.random() < 0.4 else (w, d)), h=0.42)
        room.put(low, sofa.matrix @ pose(rng.uniform(-0.3, 0.3), -1.15))
        side = seats.easy(rng) if rng.random() < 0.65 else None
        if side and rng.random() < 0.8:
            at = pose(rng.choice([-1, 1]) * 1.6, -1.3, rng.choice([-1.2, 1.2]))
            room.put(side, sofa.matrix @ at) or room.anywhere(side, rng.uniform(0, 6.3), 0.6)
    bench = room.against(furniture.shelf(rng, rng.uniform(1.2, 1.8), 0.48, 0.38), (wall + 2) % 4)
    if bench and rng.random() < 0.75:
        room.on_top(fittings.television(rng, rng.uniform(0.8, 1.2), stands=True), bench, 0.05)
    if rng.random() < 0.5:
        room.against(furniture.shelf(rng, rng.uniform(0.6, 1.2), rng.uniform(1.5, 2.1)))
    room.against(furniture.plant(rng, rng.uniform(0.7, 1.6)), gap=0.04)


def dining(room: Room) -> None:
    rng = room.rng
    round_one = rng.random() < 0.35
    w = rng.uniform(1.0, 1.25) if round_one else rng.uniform(1.2, 1.9)
    d = w if round_one else rng.uniform(0.75, 0.95)
    table = room.anywhere(
        furniture.table(rng, w, d, rng.uniform(0.72, 0.76)), rng.choice([0, np.pi / 2]), 1.3
    )
    if table and rng.random() < 0.3:
        room.put(fittings.rug(rng, w + 1.2, d + 1.2), table.matrix)
    if table:
        _around(room, table, w, d, round_one)
    if rng.random() < 0.8:
        tall = rng.choice([0.8, 0.9, 1.9])
        room.against(furniture.shelf(rng, rng.uniform(0.8, 1.6), tall, 0.4))
    if rng.random() < 0.4:
        room.against(seats.chair(rng), gap=0.06)


def _around(room: Room, table: Placed, w: float, d: float, round_one: bool) -> None:
    """Chairs of one design, drawn up to the table or a little away from it."""
    rng, one = room.rng, seats.chair(room.rng)
    if round_one:
        places = [(angle, 0.0, d / 2) for angle in np.arange(4) * np.pi / 2 + rng.uniform(0, 1)]
    else:
        along = [-w / 4, w / 4] if w > 1.35 else [0.0]
        places = [(turn, x, d / 2) for turn in (0, np.pi) for x in along]
        places += [(turn, 0.0, w / 2) for turn in (np.pi / 2, -np.pi / 2)] * (rng.random() < 0.4)
    for turn, x, edge in places:
        if rng.random() < 0.12:
            continue
        off = edge + (rng.uniform(0.05, 0.3) if rng.random() < 0.75 else rng.uniform(0.3, 0.6))
        at = pose(0, 0, turn) @ pose(x, off, rng.normal(0, 0.15))
        room.put(one, table.matrix @ at, (table,))


def bedroom(room: Room) -> None:
    rng = room.rng
    bed = room.against(seats.bed(rng))
    if bed:
        w = float(np.ptp(bed.piece.bounds()[:, 0]))
        for side in (-1, 1):
            stand = furniture.bedside(rng)
            placed = room.put(stand, bed.matrix @ pose(side * (w / 2 + 0.3), 0.85))
            if placed and rng.random() < 0.7:
                room.on_top(furniture.lamp(rng, rng.uniform(0.35, 0.5), room.light), placed, 0.1)
        if rng.random() < 0.5:
            room.put(fittings.rug(rng, w + 1.1, 1.5), bed.matrix @ pose(0, -0.6))
    if rng.random() < 0.7:
        room.against(furniture.shelf(rng, rng.uniform(0.8, 1.4), rng.choice([0.8, 2.0]), 0.42))
    if rng.random() < 0.5:
        room.against(seats.chair(rng), gap=rng.uniform(0.05, 0.3))


def study(room: Room) -> None:
    rng = room.rng
    for _ in range(int(rng.integers(1, 3))):
        desk = room.against(furniture.desk(rng))
        if not desk:
            continue
        one = seats.office(rng) if rng.random() < 0.55 else seats.chair(rng)
        at = pose(rng.uniform(-0.2, 0.2), -rng.uniform(0.45, 0.8), np.pi + rng.normal(0, 0.5))
        room.put(one, desk.matrix @ at, (desk,))
        if rng.random() < 0.7:
            room.on_top(furniture.lamp(rng, rng.uniform(0.35, 0.5), room.light), desk)
        if rng.random() < 0.5:
            room.on_top(fittings.television(rng, rng.uniform(0.5, 0.65), stands=True), desk, 0.1)
    for _ in range(int(rng.integers(1, 3))):
        room.against(furniture.shelf(rng, rng.uniform(0.6, 1.4), rng.uniform(1.2, 2.1)))
    if rng.random() < 0.4:
        room.anywhere(fittings.rug(rng, 2.0, 1.5), 0, 1.2)
    if rng.random() < 0.4:
        room.against(seats.easy(rng), gap=0.1)


def waiting(room: Room) -> None:
    """Chairs of one design in a row, a low table, a plant."""
    rng, wall, one = room.rng, int(room.rng.integers(4)), seats.chair(room.rng)
    first = room.against(one, wall, gap=0.08)
    if first:
        step = float(np.ptp(one.bounds()[:, 0])) + rng.uniform(0.05, 0.15)
        for place in (1, -1, 2, -2, 3):
            room.put(one, first.matrix @ pose(place * step, 0, rng.normal(0, 0.05)))
        room.put(furniture.table(rng, 0.8, 0.6, 0.42), first.matrix @ pose(0.3, -1.3))
    room.against(furniture.plant(rng, rng.uniform(0.8, 1.6)), gap=0.04)
    room.against(furniture.shelf(rng, rng.uniform(0.6, 1.2), rng.uniform(0.8, 1.8)))
    if rng.random() < 0.4:
        room.against(fittings.television(rng, rng.uniform(0.8, 1.1), stands=False), z=1.3, gap=0)


def moving(room: Room) -> None:
    """Somebody moves in: cartons, few pieces, not yet in their places."""
    rng = room.rng
    for _ in range(int(rng.integers(3, 7))):
        below = room.against(fittings.carton(rng), gap=rng.uniform(0.02, 0.8))
        if below and rng.random() < 0.35:
            room.on_top(fittings.carton(rng), below, 0.05)
    for piece in (seats.chair(rng), furniture.table(rng, 1.2, 0.75, 0.74), seats.chair(rng)):
        if rng.random() < 0.7:
            room.anywhere(piece, rng.uniform(0, 6.3), 0.7)
    room.against(furniture.shelf(rng, rng.uniform(0.6, 1.2), rng.uniform(0.9, 2.0)))
    if rng.random() < 0.5:
        room.against(seats.sofa(rng))


def studio(room: Room) -> None:
    bedroom(room)
    study(room)


KINDS: tuple[Callable[[Room], None], ...] = (
    living, dining, bedroom, study, waiting, moving, studio,
)  # fmt: skip
SHARES = (0.26, 0.2, 0.16, 0.14, 0.08, 0.08, 0.08)
