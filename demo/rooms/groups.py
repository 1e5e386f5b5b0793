"""Groups of furniture that belong together."""

import numpy as np
from numpy.random import default_rng

from demo.rooms import chairs, decor, furniture, lamps, shelves
from demo.rooms.details import glow, lamp_over, strew
from demo.rooms.item import Item
from demo.rooms.materials import chance, pick
from demo.rooms.plan import Plan, Spot, spot_of


def _chair(design: str, seed: int) -> Item:
    return chairs.make(default_rng(seed), design)


def dining(plan: Plan, with_chairs: bool) -> bool:
    """A table with two to six chairs around it, a lamp above and sometimes a rug below."""
    rng = plan.rng
    seats = int(rng.integers(2, 7))
    circular = seats <= 5 and chance(rng, 0.35)
    if circular:
        radius = 0.42 + 0.06 * seats
        table = furniture.round_table(rng, radius, 0.75, "round dining table")
        size = (2 * radius, 2 * radius)
    else:
        size = (
            float(rng.uniform(0.65, 0.75)) * max(2, (seats + 1) // 2) - 0.1 * (seats > 4),
            float(rng.uniform(0.8, 0.95)),
        )
        table = furniture.table(rng, *size, float(rng.uniform(0.73, 0.77)), "dining table")
    room = plan.shell.size
    for _ in range(12):
        angle = float(pick(rng, (0.0, np.pi / 2))) + float(rng.normal(0, 0.04))
        reach = 1.25 if chance(rng, 0.8) else 0.75
        x = float(rng.uniform(reach, max(reach + 0.01, room[0] - reach)))
        y = float(rng.uniform(reach, max(reach + 0.01, room[1] - reach)))
        top = plan.put(table, x, y, angle)
        if top is not None:
            break
    else:
        return False
    if chance(rng, 0.35):
        plan.put(decor.rug(rng, size[0] + 1.4, size[1] + 1.4), x, y, angle, counts=False)
    lamp_over(plan, x, y, chance(rng, 0.75))
    if with_chairs:
        _seats(plan, (x, y, angle), size, circular, seats, top)
    strew(plan, table, x, y, angle, int(rng.integers(0, 5)))
    return True


def _seats(
    plan: Plan,
    at: tuple[float, float, float],
    size: tuple[float, float],
    circular: bool,
    seats: int,
    top: Spot,
) -> None:
    rng = plan.rng
    x, y, angle = at
    places: list[tuple[float, float, float]] = []
    if circular:
        turn = float(rng.uniform(0, 6.28))
        for k in range(seats):
            a = turn + k * 2 * np.pi / seats
            places.append((-np.sin(a) * size[0] / 2, np.cos(a) * size[0] / 2, a))
    else:
        sides = (seats + 1) // 2 if seats != 6 or size[0] > 1.8 else 2
        for k in range(sides):
            along = (k - (sides - 1) / 2) * size[0] / sides
            places += [(along, size[1] / 2, 0.0), (along, -size[1] / 2, np.pi)]
        ends = [(size[0] / 2, 0.0, -np.pi / 2), (-size[0] / 2, 0.0, np.pi / 2)]
        places = (places + ends)[: max(seats, 2)] if chance(rng, 0.7) else places[:seats]
    design, seed = pick(rng, chairs.DINING), int(rng.integers(2**31))
    other = (pick(rng, chairs.DINING), int(rng.integers(2**31))) if chance(rng, 0.3) else None
    snug = design not in ("carver", "windsor") and not circular
    for px, py, a in places:
        kind = other if other is not None and chance(rng, 0.4) else (design, seed)
        item = _chair(*kind)
        deep = float(item.bounds()[1][1])
        for _ in range(4):
            out = (
                float(rng.uniform(-0.12, 0.12))
                if snug and kind == (design, seed)
                else float(rng.uniform(0.03, 0.2))
            )
            swing = float(rng.normal(0, 0.12))
            if chance(rng, 0.3):
                out, swing = float(rng.uniform(0.15, 0.5)), float(rng.normal(0, 0.5))
            dx, dy = -np.sin(a) * (deep + out), np.cos(a) * (deep + out)
            wx, wy = plan.near(x, y, angle, py + dy, px + dx)
            if plan.put(
                item, wx, wy, angle + a + np.pi + swing, ignore=(top,) if out < 0.1 else ()
            ):
                break


def office(plan: Plan, with_chairs: bool) -> bool:
    """A desk against a wall with its chair, a monitor or laptop and a lamp."""
    rng = plan.rng
    desk = furniture.desk(rng)
    width, height = float(np.ptp([b[0] for b in desk.bounds()])), float(desk.bounds()[1][2])
    at = plan.against_wall(desk, gap=float(rng.uniform(0.03, 0.08)), tries=25)
    if at is None:
        return False
    x, y, angle = at
    top = plan.spots[-1]
    if with_chairs:
        design = pick(rng, chairs.DESK)
        chair = chairs.make(rng, design)
        deep = float(chair.bounds()[1][1])
        for _ in range(8):
            out = float(rng.uniform(0.02, 0.5))
            wx, wy = plan.near(
                x, y, angle, float(top.half[1]) + deep + out, float(rng.uniform(-0.25, 0.25))
            )
            swing = float(rng.normal(0, 0.3 if chance(rng, 0.6) else 1.2))
            if plan.put(chair, wx, wy, angle + np.pi + swing):
                break
    if chance(rng, 0.65):
        screen = decor.television(rng, float(rng.uniform(0.45, 0.68)), True)
        sx, sy = plan.near(x, y, angle, -0.12, float(rng.uniform(-0.2, 0.2)))
        plan.put(screen, sx, sy, angle + float(rng.normal(0, 0.15)), height, counts=False)
    if chance(rng, 0.55):
        lamp = lamps.table_lamp(rng, plan.lit)
        lx, ly = plan.near(x, y, angle, -0.1, pick(rng, (-1, 1)) * (width / 2 - 0.18))
        if plan.put(lamp, lx, ly, angle, height, counts=False):
            glow(plan, lx, ly, height + 0.35)
    strew(plan, desk, x, y, angle, int(rng.integers(1, 4)))
    return True


def living(plan: Plan, with_chairs: bool) -> bool:
    """A sofa with a coffee table, easy chairs, a rug and often a television across."""
    rng = plan.rng
    sofa = furniture.sofa(rng)
    at = plan.against_wall(sofa, gap=float(rng.uniform(0.04, 0.3)), tries=25)
    if at is None:
        return False
    x, y, angle = at
    depth = float(plan.spots[-1].half[1]) * 2 - 0.45
    mx, my = plan.near(x, y, angle, depth + 0.55, float(rng.uniform(-0.2, 0.2)))
    if chance(rng, 0.6):
        wide = float(rng.uniform(1.8, 2.6))
        rug = decor.rug(rng, wide, float(rng.uniform(1.3, 1.8)))
        if _inside(plan, spot_of(rug, mx, my, angle)):
            plan.put(rug, mx, my, angle, counts=False)
    low = furniture.coffee_table(rng)
    if plan.put(low, mx, my, angle):
        strew(plan, low, mx, my, angle, int(rng.integers(0, 4)))
    if with_chairs:
        design, seed = pick(rng, chairs.EASY), int(rng.integers(2**31))
        for _ in range(int(rng.integers(1, 4))):
            chair = _chair(design, seed)
            for _ in range(8):
                a = float(rng.uniform(-1.9, 1.9))
                r = float(rng.uniform(1.0, 1.5))
                px, py = (
                    mx + r * np.cos(angle + np.pi / 2 + a),
                    my + r * np.sin(angle + np.pi / 2 + a),
                )
                face = float(np.arctan2(my - py, mx - px)) - np.pi / 2 + float(rng.normal(0, 0.2))
                if plan.put(chair, float(px), float(py), face):
                    break
    if chance(rng, 0.5):
        television_on_stand(plan)
    return True


def _inside(plan: Plan, spot: Spot) -> bool:
    corners, size = spot.corners(), plan.shell.size
    return bool(
        corners.min() > 0.05
        and corners[:, 0].max() < size[0] - 0.05
        and corners[:, 1].max() < size[1] - 0.05
    )


def television_on_stand(plan: Plan) -> None:
    rng = plan.rng
    stand = shelves.cabinet(rng, "sideboard")
    height = float(stand.bounds()[1][2])
    stand.scaled(1, 1, 0.5 / height)
    at = plan.against_wall(stand)
    if at is not None:
        screen = decor.television(rng, float(rng.uniform(0.9, 1.3)), True)
        plan.put(screen, at[0], at[1], at[2], 0.5, counts=False)


def bedroom(plan: Plan, with_chairs: bool) -> bool:
    """A bed with bedside tables and lamps, a wardrobe or chest, perhaps a chair."""
    rng = plan.rng
    bed = furniture.bed(rng)
    half = float(bed.bounds()[1][0])
    at = plan.against_wall(bed, tries=25)
    if at is None:
        return False
    x, y, angle = at
    if chance(rng, 0.35):
        rx, ry = plan.near(x, y, angle, 0.4, 0.0)
        rug = decor.rug(rng, half * 2 + 1.2, 1.8)
        if _inside(plan, spot_of(rug, rx, ry, angle)):
            plan.put(rug, rx, ry, angle, counts=False)
    seed = int(rng.integers(2**31))
    for side in (-1, 1):
        if chance(rng, 0.65):
            sub = default_rng(seed)
            table = (
                shelves.cabinet(sub, "bedside cabinet") if seed % 3 else furniture.side_table(sub)
            )
            tx, ty = plan.near(x, y, angle, -0.85, side * (half + 0.32))
            if plan.put(table, tx, ty, angle) and chance(rng, 0.6):
                top = float(max(m.corners[..., 2].max() for m in table.meshes))
                plan.items.append(
                    lamps.table_lamp(default_rng(seed + 1), plan.lit).placed((tx, ty, top), angle)
                )
                glow(plan, tx, ty, top + 0.35)
    plan.against_wall(shelves.cabinet(rng, pick(rng, ("wardrobe", "wardrobe", "chest of drawers"))))
    if with_chairs:
        if chance(rng, 0.35):
            office(plan, True)
        for _ in range(int(rng.integers(1, 3))):
            corner_chair(plan)
    return True


def corner_chair(plan: Plan) -> bool:
    """A single chair near a wall, turned into the room."""
    rng = plan.rng
    chair = chairs.make(rng, pick(rng, chairs.COMMON))
    chair.placed((0, 0, 0), float(rng.normal(0, 0.45)))
    return plan.against_wall(chair, gap=float(rng.uniform(0.05, 0.25))) is not None


def waiting(plan: Plan, with_chairs: bool) -> bool:
    """A row of equal chairs along a wall, with a low table."""
    rng = plan.rng
    if with_chairs:
        design, seed = pick(rng, chairs.COMMON), int(rng.integers(2**31))
        first = _chair(design, seed)
        at = plan.against_wall(first, gap=0.1, tries=20)
        if at is not None:
            x, y, angle = at
            wide = float(plan.spots[-1].half[0]) * 2 + float(rng.uniform(0.08, 0.2))
            for k in range(1, int(rng.integers(2, 5))):
                px, py = plan.near(x, y, angle, 0, k * wide)
                plan.put(_chair(design, seed), px, py, angle + float(rng.normal(0, 0.08)))
    size = plan.shell.size
    low = furniture.coffee_table(rng)
    for _ in range(6):
        x, y = float(rng.uniform(0.9, size[0] - 0.9)), float(rng.uniform(0.9, size[1] - 0.9))
        if plan.put(low, x, y, float(pick(rng, (0.0, np.pi / 2)))):
            strew(plan, low, x, y, 0.0, 2)
            break
    return True


THEMES = {
    "dining": dining,
    "office": office,
    "living": living,
    "bedroom": bedroom,
    "waiting": waiting,
}
