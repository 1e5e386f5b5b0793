"""Where things stand: plausible groups of furniture that never stand in each other."""

from numpy.random import Generator

from demo.rooms import chairs, clutter, decor, furniture, lamps, plants, shelves
from demo.rooms.details import glow, lamp_over, strew
from demo.rooms.groups import THEMES, corner_chair, television_on_stand
from demo.rooms.item import CHAIR
from demo.rooms.materials import chance, pick
from demo.rooms.plan import Plan
from demo.rooms.structure import Shell


def loose_chair(plan: Plan) -> bool:
    """A single chair somewhere in the room."""
    rng, size = plan.rng, plan.shell.size
    chair = chairs.make(rng, pick(rng, chairs.COMMON))
    for _ in range(10):
        x, y = float(rng.uniform(0.6, size[0] - 0.6)), float(rng.uniform(0.6, size[1] - 0.6))
        if plan.put(chair, x, y, float(rng.uniform(0, 6.28))):
            return True
    return False


def filler(plan: Plan, with_chairs: bool) -> None:
    """One more piece of furniture wherever there is room."""
    rng = plan.rng
    kind = pick(
        rng,
        (
            "bookshelf",
            "bookshelf",
            "cabinet",
            "cabinet",
            "plant",
            "plant",
            "lamp",
            "lamp",
            "box",
            "box",
            "side table",
            "chair",
            "chair",
            "loose chair",
            "television",
        ),
    )
    if kind == "bookshelf":
        plan.against_wall(shelves.bookshelf(rng))
    elif kind == "cabinet":
        item = shelves.cabinet(rng, pick(rng, ("sideboard", "chest of drawers", "wardrobe")))
        at = plan.against_wall(item)
        if at is not None and item.design != "wardrobe":
            strew(plan, item, *at, int(rng.integers(0, 4)))
    elif kind == "plant":
        plan.against_wall(plants.plant(rng), gap=0.02)
    elif kind == "lamp":
        at = plan.against_wall(lamps.floor_lamp(rng, plan.lit), gap=0.06)
        if at is not None:
            glow(plan, at[0], at[1], 1.4)
    elif kind == "box":
        _boxes(plan)
    elif kind == "side table":
        table = furniture.side_table(rng)
        at = plan.against_wall(table)
        if at is not None:
            strew(plan, table, *at, 1)
    elif kind == "television":
        television_on_stand(plan)
    elif with_chairs:
        if kind == "chair":
            corner_chair(plan)
        else:
            loose_chair(plan)


def _boxes(plan: Plan) -> None:
    """One box by a wall, now and then with a smaller one on it."""
    rng = plan.rng
    at = plan.against_wall(clutter.carton(rng), gap=float(rng.uniform(0.03, 0.3)))
    if at is not None and chance(rng, 0.4) and plan.items[-1].design == "cardboard box":
        base = plan.spots[-1]
        upper = clutter.carton(rng)
        low, high = upper.bounds()
        if bool((high[:2] - low[:2] < base.half * 2.1).all()):
            plan.items.append(
                upper.placed((at[0], at[1], base.high), at[2] + float(rng.normal(0, 0.2)))
            )


def pictures(plan: Plan) -> None:
    """Pictures on free wall."""
    rng = plan.rng
    for _ in range(int(rng.integers(0, 5))):
        z = float(rng.uniform(1.45, 1.75))
        plan.against_wall(decor.picture(rng), gap=0.001 + 0.015, z=z, tries=6, counts=False)
    if chance(rng, 0.12):
        screen = decor.television(rng, float(rng.uniform(0.9, 1.3)), False)
        plan.against_wall(screen, gap=0.016, z=1.2, tries=6, counts=False)


def furnish(rng: Generator, shell: Shell, lit: bool, themes: list[str], with_chairs: bool) -> Plan:
    """Furnishes the room: the themes' groups first, then single pieces, then the walls."""
    plan = Plan(rng, shell, lit)
    for theme in themes:
        THEMES[theme](plan, with_chairs)
    target = int(rng.integers(6, 12))
    for _ in range(18):
        if plan.furniture >= target:
            break
        filler(plan, with_chairs)
    if with_chairs and not any(i.label == CHAIR for i in plan.items):
        loose_chair(plan)
    if lit and not any(light.shadows for light in plan.lights):
        size = shell.size
        x, y = size[0] * float(rng.uniform(0.4, 0.6)), size[1] * float(rng.uniform(0.4, 0.6))
        lamp_over(plan, x, y, False)
    pictures(plan)
    return plan
