"""Rooms for training that vary far more than the demo's own: other shapes, colours, more lamps."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from demo.rooms import decor, lamps
from demo.rooms.designs import DESIGNS, wall_lamp
from demo.rooms.geometry import Floats, Mesh, cross, lengths, transformed, yaw
from demo.rooms.item import RUG, Item
from demo.rooms.layout import filler
from demo.rooms.materials import Material, chance, fabric, leather, metal, pick, plastic, wood
from demo.rooms.plan import Plan, Spot, spot_of
from demo.rooms.structure import Light

REPLACED, WARPED, RECOLOURED = 0.55, 0.7, 0.5  # shares of the objects
PATTERNS = (
    "plain", "plain", "plain", "weave", "wood", "planks", "parquet", "tiles", "chequer", "bricks",
    "stripes", "checks", "gingham", "dots", "herringbone", "blossoms", "damask", "panels",
    "plaster", "plaster", "marble", "carpet", "leather", "ornament", "waves",
)  # fmt: skip
PICTORIAL = ("painting", "screen", "outdoors", "spines", "foliage", "cardboard")


def vary(rng: Generator, plan: Plan) -> None:
    """Change a furnished room: more in it, other designs, other proportions, other surfaces."""
    plan.rng = rng
    add(plan)
    plan.items = [varied(rng, item) for item in plan.items]
    plan.shell.items[:] = [recoloured(rng, item) for item in plan.shell.items]


def add(plan: Plan) -> None:
    """Rugs and lamps, of which rooms of the demo show few, and one or two other pieces."""
    rng = plan.rng
    if chance(rng, 0.75):
        for _ in range(int(rng.integers(1, 3))):
            lay_rug(plan)
    for _ in range(int(rng.integers(0, 4))):
        stand_lamp(plan)
    for _ in range(int(rng.integers(0, 3))):
        filler(plan, chance(rng, 0.5))


def lay_rug(plan: Plan) -> None:
    """A rug anywhere on the floor, under what stands there."""
    rng, size = plan.rng, plan.shell.size
    for _ in range(6):
        rug = decor.rug(rng, float(rng.uniform(0.8, 2.4)), float(rng.uniform(0.6, 1.8)))
        x, y = (float(v) for v in rng.uniform((0.5, 0.5), (size[0] - 0.5, size[1] - 0.5)))
        angle = float(pick(rng, (0.0, np.pi / 2))) + float(rng.normal(0, 0.15))
        spot = spot_of(rug, x, y, angle)
        corners, floor = spot.corners(), np.array(size[:2])
        others = [spot_of_placed(item) for item in plan.items if item.label == RUG]
        inside = bool((corners > 0.03).all() and (corners < floor - 0.03).all())
        if inside and not any(spot.touches(other) for other in others):
            plan.put(rug, x, y, angle, counts=False)
            return


def spot_of_placed(item: Item) -> Spot:
    """The upright box around an object where it stands."""
    return spot_of(item, 0.0, 0.0, 0.0)


def stand_lamp(plan: Plan) -> None:
    """One more lamp: on the floor, on a wall or hanging."""
    rng = plan.rng
    kind = rng.random()
    if kind < 0.45:
        plan.against_wall(lamps.floor_lamp(rng, plan.lit), gap=float(rng.uniform(0.05, 0.4)))
    elif kind < 0.7:
        z = float(rng.uniform(1.4, 1.9))
        plan.against_wall(wall_lamp(rng, plan.lit), gap=0.005, z=z, tries=6, counts=False)
    else:
        x, y = (float(v) * float(rng.uniform(0.15, 0.85)) for v in plan.shell.size[:2])
        item = lamps.pendant(rng, plan.shell.size[2], plan.lit)
        if plan.fits(spot_of(item, x, y, 0.0)):
            plan.put(item, x, y, 0.0, counts=False)


def varied(rng: Generator, item: Item) -> Item:
    """The object with another design, proportions or surfaces, where it stands."""
    position, angle = item.position, item.angle
    own = moved_back(item)
    if item.design in DESIGNS and chance(rng, REPLACED):
        own = fitted(pick(rng, DESIGNS[item.design])(rng), own)
    if chance(rng, WARPED):
        warp(rng, own)
    return recoloured(rng, own).placed(position, angle)


def moved_back(item: Item) -> Item:
    """The object in its own frame again."""
    turn = yaw(-item.angle)
    away = -(turn @ np.asarray(item.position, np.float32))
    item.meshes = [transformed(m, turn, away) for m in item.meshes]
    item.position, item.angle = (0.0, 0.0, 0.0), 0.0
    return item


def fitted(new: Item, old: Item) -> Item:
    """The new object, stretched into the box of the old one; both in their own frames."""
    low, high = old.bounds()
    own_low, own_high = new.bounds()
    factor = np.clip((high - low) / np.maximum(own_high - own_low, 1e-3), 0.3, 3.0)
    new.scaled(*(float(v) for v in factor))
    own_low, own_high = new.bounds()
    shift = (low + high - own_low - own_high) / 2
    # What hangs keeps its top, what stands its foot.
    shift[2] = high[2] - own_high[2] if low[2] > 1.0 else low[2] - own_low[2]
    new.meshes = [transformed(m, np.eye(3), shift) for m in new.meshes]
    return new


def warp(rng: Generator, item: Item) -> None:
    """Stretch, taper, shear and swell an object in its own frame."""
    low, high = item.bounds()
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.01)
    flat = item.label == RUG
    stretch = np.exp(rng.normal(0, (0.14, 0.14, 0.0 if flat else 0.12)))
    taper, shear = rng.normal(0, 0.08, 2), rng.normal(0, 0.05, 2)
    swell = float(rng.normal(0, 0.05))
    if flat:
        taper, shear, swell = np.zeros(2), np.zeros(2), 0.0

    def bent(points: Floats) -> Floats:
        p = (points - middle) / half
        z = p[..., 2:]
        plane = p[..., :2] * (1 + taper * z + swell * (1 - z * z)) + shear * z
        found = np.concatenate([plane, z], axis=-1) * half * stretch
        found += middle * (1, 1, 0)
        found[..., 2] += low[2] + half[2] * stretch[2]
        return np.asarray(found, np.float32)

    item.meshes = [_bent(m, bent) for m in item.meshes]


def _bent(mesh: Mesh, bent: Callable[[Floats], Floats]) -> Mesh:
    """The mesh under a smooth map of space, its normals from the map of two tangents."""
    normal = mesh.normals
    helper = np.where(np.abs(normal[..., :1]) < 0.8, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    first = cross(normal, helper)
    second = cross(normal, first)
    corners, step = bent(mesh.corners), 1e-3
    along = bent(mesh.corners + step * first) - corners
    across = bent(mesh.corners + step * second) - corners
    new = cross(along, across)
    new /= lengths(new)[..., None] + 1e-12
    return Mesh(corners, new.astype(np.float32), mesh.coords, mesh.faces)


def any_material(rng: Generator, old: Material) -> Material:
    """Another surface in the place of `old`; what glows goes on to glow."""
    if old.kind in PICTORIAL and not (old.kind in ("painting", "spines") and chance(rng, 0.3)):
        if old.kind in ("foliage", "cardboard"):
            shift = rng.normal(0, 0.08, 3)
            return replace(old, first=_near(old.first, shift), second=_near(old.second, shift))
        return replace(old, first=any_rgb(rng), second=any_rgb(rng), phase=float(rng.random()))
    made = pick(rng, (fabric, leather, metal, plastic, wood, None, None, None))
    if made is not None and not old.glow:
        return made(rng)
    first = any_rgb(rng)
    kind = pick(rng, PATTERNS) if not old.glow else "plain"
    second = any_rgb(rng) if chance(rng, 0.5) else _near(first, -0.2 * np.asarray(first))
    gloss, phase = float(rng.uniform(0, 0.6)), float(rng.random())
    scale = float(np.exp(rng.uniform(np.log(0.04), np.log(0.6))))
    return Material(kind, first, second, scale, gloss, old.glow, phase)


def any_rgb(rng: Generator) -> tuple[float, float, float]:
    """A display colour: any hue, muted more often than not."""
    grey = float(rng.uniform(0.08, 0.95))
    hue = rng.uniform(-1, 1, 3) * float(rng.choice((0.05, 0.15, 0.45)))
    return _near((grey, grey, grey), hue)


def _near(colour: tuple[float, float, float], shift: np.ndarray) -> tuple[float, float, float]:
    r, g, b = np.clip(np.asarray(colour) + shift, 0.03, 0.97)
    return float(r), float(g), float(b)


def recoloured(rng: Generator, item: Item) -> Item:
    """The object with other surfaces; its words for captions are dropped, being true no longer."""
    if not item.materials or not chance(rng, RECOLOURED):
        return item
    share = float(rng.choice((0.4, 1.0)))
    new = {
        id(m): any_material(rng, m) if chance(rng, share) else m
        for m in {id(m): m for m in item.materials}.values()
    }
    item.materials = [new[id(m)] for m in item.materials]
    item.colours, item.words = [], []
    return item


def relit(rng: Generator, lights: list[Light]) -> list[Light]:
    """The lights in other colours and strengths."""
    tint = 1 + rng.normal(0, 0.12, 3)
    power = float(np.exp(rng.normal(0, 0.5)))
    return [replace(x, colour=(x.colour * tint * power).astype(np.float32)) for x in lights]
