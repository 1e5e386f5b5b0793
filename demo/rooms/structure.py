"""The empty room: floor, ceiling, walls with their windows and doors, and the light they let in."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from demo.rooms.clutter import curtain
from demo.rooms.curved import lathe
from demo.rooms.finishes import floor_material, wall_material
from demo.rooms.geometry import Floats, Mesh, box, join, pane, quads, transformed, yaw
from demo.rooms.item import CEILING, DOOR, FLOOR, WALL, WINDOW, Item
from demo.rooms.materials import (
    Material,
    chance,
    darker,
    fabric,
    jittered,
    metal,
    painted,
    pick,
    wood,
)

RECESS = 0.12
_ANGLES = (0.0, np.pi / 2, np.pi, -np.pi / 2)


@dataclass(frozen=True, slots=True)
class Light:
    """A light: a rectangle `centre` ± `u` ± `v` (each (3,)), or a ball when `u` is None.

    `colour` (3,) is linear radiant intensity at 1 m; `normal` limits a rectangle to its front;
    only a light with `shadows` costs a shadow ray.
    """

    centre: Floats
    colour: Floats
    u: Floats | None = None
    v: Floats | None = None
    normal: Floats | None = None
    radius: float = 0.1
    shadows: bool = True


@dataclass(frozen=True, slots=True)
class Opening:
    """A hole in wall `wall` from `left` to `right` along it and from `low` to `high`, in metres."""

    kind: str
    wall: int
    left: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Shell:
    """The empty room of extents `size` (x, y, z)."""

    size: tuple[float, float, float]
    items: list[Item]
    openings: list[Opening]
    lights: list[Light]


def wall_frame(size: tuple[float, float, float], wall: int) -> tuple[Floats, float, float]:
    """Where wall 0 to 3 begins (3,), its length, and the yaw that turns +y to its inner normal."""
    x, y, _ = size
    starts = ((0.0, 0.0), (x, 0.0), (x, y), (0.0, y))
    length = x if wall % 2 == 0 else y
    return np.array([*starts[wall], 0.0], np.float32), length, float(_ANGLES[wall])


def _slab(x: float, y: float, z: float) -> Mesh:
    """A level rectangle from the origin to (x, y), cut into cells so that light varies over it."""
    gx, gy = np.linspace(0, x, 9), np.linspace(0, y, 9)
    a, c = np.meshgrid(gx[:-1], gy[:-1])
    b, d = np.meshgrid(gx[1:], gy[1:])
    corners = np.stack(
        [np.stack([a, c], -1), np.stack([b, c], -1), np.stack([b, d], -1), np.stack([a, d], -1)], 2
    )
    return _continuous(
        np.concatenate([corners, np.full((8, 8, 4, 1), z)], 3).reshape(-1, 4, 3), (0, 1)
    )


def _continuous(corners: np.ndarray, axes: tuple[int, int]) -> Mesh:
    """Quads as one surface whose texture coordinates are two of their positions."""
    mesh = quads(corners)
    coords = np.ascontiguousarray(mesh.corners[..., list(axes)])
    return Mesh(mesh.corners, mesh.normals, coords, np.zeros_like(mesh.faces))


def _wall_mesh(length: float, height: float, holes: list[Opening], upright: bool) -> Mesh:
    xs = {*np.linspace(0, length, 8), *(h.left for h in holes), *(h.right for h in holes)}
    zs = {*np.linspace(0, height, 5), *(h.low for h in holes), *(h.high for h in holes)}
    gx, gz = sorted(xs), sorted(zs)
    cells = []
    for a, b in pairwise(gx):
        for c, d in pairwise(gz):
            x, z = (a + b) / 2, (c + d) / 2
            if not any(h.left < x < h.right and h.low < z < h.high for h in holes):
                cells.append([(b, 0, c), (a, 0, c), (a, 0, d), (b, 0, d)])
    meshes = [_continuous(np.array(cells), (2, 0) if upright else (0, 2))]
    for h in holes:
        a, b, c, d, y = h.left, h.right, h.low, h.high, -RECESS
        meshes.append(
            quads(
                np.array(
                    [
                        [(a, 0, c), (a, y, c), (a, y, d), (a, 0, d)],
                        [(b, 0, c), (b, y, c), (b, y, d), (b, 0, d)],
                        [(a, 0, c), (b, 0, c), (b, y, c), (a, y, c)],
                        [(a, 0, d), (b, 0, d), (b, y, d), (a, y, d)],
                    ]
                )
            )
        )
    return join(meshes)


def _window(rng: Generator, wide: float, high: float, day: float) -> Item:
    """A window whose glass stands at y = -RECESS, its sill at z = 0."""
    item = Item(WINDOW, "window")
    frame = painted(rng, "white") if chance(rng, 0.7) else wood(rng)
    sky = pick(rng, ((0.55, 0.72, 0.92), (0.78, 0.84, 0.90), (0.90, 0.86, 0.78)))
    if day < 0.15:
        sky = (0.08, 0.10, 0.17)
    ground = jittered(
        rng, pick(rng, ((0.25, 0.38, 0.18), (0.45, 0.42, 0.38), (0.55, 0.36, 0.28))), 0.04
    )
    view = Material(
        "outdoors",
        sky,
        ground,
        float(rng.uniform(0.4, 1.0)),
        0.3,
        0.25 + 1.1 * day,
        float(rng.random()),
        "glass",
    )
    glass = pane(wide, high, (0, -RECESS + 0.01, high / 2))
    coords = glass.coords + np.array([0, high / 2 - float(rng.uniform(0, 0.3))], np.float32)
    item.add("glass", view, Mesh(glass.corners, glass.normals, coords, glass.faces))
    y, t, d = -RECESS + 0.03, 0.055, 0.05
    bars = [box((wide, d, t), (0, y, z)) for z in (t / 2, high - t / 2)]
    bars += [box((t, d, high), (s * (wide - t) / 2, y, high / 2)) for s in (-1, 1)]
    for k in range(1, int(rng.integers(1, 4))):
        bars.append(
            box((t * 0.9, d, high), (wide * (k / 2 - 0.5) if k == 1 else wide / 4, y, high / 2))
        )
    if chance(rng, 0.4):
        bars.append(box((wide, d * 0.9, t * 0.7), (0, y, high * float(rng.uniform(0.5, 0.72)))))
    item.add("frame", frame, *bars)
    if chance(rng, 0.75):
        item.add("sill", frame, box((wide + 0.12, RECESS + 0.08, 0.03), (0, -0.02, -0.015)))
    return item


def _door(rng: Generator, wide: float, high: float) -> Item:
    item = Item(DOOR, "door")
    leaf = (
        painted(rng, "white")
        if chance(rng, 0.5)
        else (wood(rng) if chance(rng, 0.7) else painted(rng))
    )
    y = -RECESS * 0.6
    item.add("leaf", leaf, box((wide, 0.04, high), (0, y, high / 2)))
    rows = int(rng.integers(0, 4))
    for k in range(rows):
        for s in (-1, 1):
            size = (wide * 0.34, 0.02, high * 0.78 / rows)
            item.add(
                "panels",
                leaf,
                box(size, (s * wide * 0.22, y + 0.02, high * (0.1 + 0.82 * (k + 0.5) / rows))),
            )
    frame = leaf if chance(rng, 0.4) else painted(rng, "white")
    item.add(
        "frame",
        frame,
        box((0.08, 0.03, high + 0.08), (-wide / 2 - 0.04, 0.01, high / 2 + 0.04)),
        box((0.08, 0.03, high + 0.08), (wide / 2 + 0.04, 0.01, high / 2 + 0.04)),
        box((wide, 0.03, 0.08), (0, 0.01, high + 0.04)),
    )
    side = float(pick(rng, (-1.0, 1.0))) * (wide / 2 - 0.07)
    knob = lathe([(0, 0), (0.028, 0.0), (0.028, 0.03), (0, 0.05)])
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)
    item.add(
        "handle",
        metal(rng),
        transformed(knob, turn, (side, y + 0.02, 1.02)),
        box((0.13, 0.02, 0.025), (side * 0.9, y + 0.07, 1.02)),
    )
    return item


def _openings(rng: Generator, size: tuple[float, float, float]) -> list[Opening]:
    out: list[Opening] = []
    door_wall = int(rng.integers(4))
    for wall in rng.permutation(4):
        length = size[0] if wall % 2 == 0 else size[1]
        if wall == door_wall:
            wide, left = 0.85, float(rng.uniform(0.3, length - 1.3))
            out.append(Opening("door", int(wall), left, left + wide, 0.0, 2.02))
        elif len(out) < 3 and chance(rng, 0.6):
            wide = float(rng.uniform(0.9, min(2.4, length - 1.2)))
            low = float(pick(rng, (0.85, 0.9, 0.7, 0.12)))
            high = float(rng.uniform(2.05, min(2.35, size[2] - 0.15)))
            left = float(rng.uniform(0.4, length - wide - 0.4))
            out.append(Opening("window", int(wall), left, left + wide, low, high))
    return out


def build(rng: Generator, size: tuple[float, float, float], day: float) -> Shell:
    """Walls, floor, ceiling and what is set into them; `day` 0 to 1 is how bright it is outside."""
    openings = _openings(rng, size)
    walls, floor, ceiling = Item(WALL, "wall"), Item(FLOOR, "floor"), Item(CEILING, "ceiling")
    paint = wall_material(rng)
    paints = [paint] * 4
    if chance(rng, 0.35):
        paints[int(rng.integers(4))] = wall_material(rng)
    skirting = painted(rng, "white") if chance(rng, 0.7) else wood(rng)
    items, lights = [walls, floor, ceiling], []
    drapes = fabric(rng) if chance(rng, 0.55) else None
    for wall in range(4):
        start, length, angle = wall_frame(size, wall)
        holes = [o for o in openings if o.wall == wall]
        turn = yaw(angle)
        mesh = _wall_mesh(length, size[2], holes, paints[wall].kind == "stripes")
        walls.add("", paints[wall], transformed(mesh, turn, start))
        edges = [
            0.0,
            *sorted(e for h in holes if h.low == 0 for e in (h.left - 0.08, h.right + 0.08)),
            length,
        ]
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            strip = box((b - a, 0.018, 0.08), ((a + b) / 2, 0.009, 0.04))
            walls.add("", skirting, transformed(strip, turn, start))
        for hole in holes:
            wide, high = hole.right - hole.left, hole.high - hole.low
            middle = start + turn @ np.array(
                [(hole.left + hole.right) / 2, 0, hole.low], np.float32
            )
            if hole.kind == "door":
                items.append(_door(rng, wide, high).placed(middle, angle))
                continue
            items.append(_window(rng, wide, high, day).placed(middle, angle))
            lights.append(_daylight(rng, middle, turn, wide, high, day))
            if drapes is not None:
                items += _drapes(rng, hole, start, turn, angle, drapes)
    floor_coat = floor_material(rng)
    floor.add("", floor_coat, _slab(size[0], size[1], 0.0))
    white = jittered(rng, (0.92, 0.91, 0.89), 0.02)
    ceiling.add(
        "",
        Material("plaster", white, darker(white, 0.97), word="painted", colour="white"),
        _slab(size[0], size[1], size[2]),
    )
    for item, coat in ((walls, paint), (floor, floor_coat), (ceiling, ceiling.materials[0])):
        item.colours, item.words = [coat.colour], [coat.word]
    return Shell(size, items, openings, lights)


def _daylight(
    rng: Generator, sill: Floats, turn: Floats, wide: float, high: float, day: float
) -> Light:
    tint = np.array([1.0, 1.0, 1.05]) * (1 + rng.normal(0, 0.06, 3))
    normal = turn @ np.array([0, 1, 0], np.float32)
    centre = sill + np.array([0, 0, high / 2], np.float32) + 0.02 * normal
    return Light(
        centre.astype(np.float32),
        (tint * day * wide * high * 3.2).astype(np.float32),
        turn @ np.array([wide / 2, 0, 0], np.float32),
        np.array([0, 0, high / 2], np.float32),
        normal,
    )


def _drapes(
    rng: Generator, hole: Opening, start: Floats, turn: Floats, angle: float, cloth: Material
) -> list[Item]:
    top = hole.high + 0.1
    low = 0.05 if hole.low < 0.5 else hole.low - 0.15
    wide = float(rng.uniform(0.25, 0.45))
    out = []
    for x in (hole.left - 0.08, hole.right + 0.08):
        item = curtain(rng, wide, top - low, cloth)
        out.append(item.placed(start + turn @ np.array([x, 0.09, low], np.float32), angle))
    return out
