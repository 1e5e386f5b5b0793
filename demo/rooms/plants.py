"""Pot plants."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import cushion, lathe, rod, rounded, surface, tube
from demo.rooms.geometry import Mesh, pitch, transformed, yaw
from demo.rooms.item import PLANT, Item
from demo.rooms.materials import PALE, Material, jittered, painted, pick, plastic, solid


def _leaf(length: float, width: float, droop: float) -> Mesh:
    t = np.linspace(0, 1, 5)
    half = width / 2 * np.sin(np.pi * np.clip(t * 0.93 + 0.05, 0, 1)) ** 0.8
    y, z = length * t, length * (0.5 * t - droop * t**2)
    rows = [np.stack([s * half, y, z + 0.1 * np.abs(s) * half], 1) for s in (-1, 0, 1)]
    return surface(np.stack(rows, axis=1))


def plant(rng: Generator) -> Item:
    """A pot plant: bush, palm, upright blades, rubber tree or cactus."""
    style = pick(rng, ("bush", "palm", "blades", "tree", "bush", "cactus"))
    name = {
        "bush": "pot plant",
        "palm": "palm",
        "blades": "snake plant",
        "tree": "indoor tree",
        "cactus": "cactus",
    }[style]
    item = Item(PLANT, name)
    r = float(rng.uniform(0.13, 0.2))
    tall = r * float(rng.uniform(1.4, 2.2))
    pot = pick(rng, (plastic, painted))(
        rng, pick(rng, (*PALE, "brown", "orange", "dark grey", "blue"))
    )
    soil = solid((0.16, 0.11, 0.08), 0)
    item.add(
        "pot",
        pot,
        lathe([(0, 0), (r * 0.75, 0), (r, tall), (r * 0.9, tall), (r * 0.88, tall - 0.03)]),
    )
    item.add("", soil, lathe([(r * 0.9, tall - 0.03), (0, tall - 0.02)]))
    green = jittered(
        rng,
        pick(rng, ((0.2, 0.42, 0.16), (0.13, 0.33, 0.15), (0.36, 0.5, 0.2), (0.3, 0.45, 0.32))),
        0.03,
    )
    light = tuple(min(1.0, c * 1.5) for c in green)
    leaf = Material(
        "foliage",
        green,
        (light[0], light[1], light[2]),
        1,
        0.15,
        phase=float(rng.random()),
        word="leafy",
        colour="green",
    )
    if style == "cactus":
        h = float(rng.uniform(0.4, 1.0))
        item.add("stem", leaf, cushion((0.16, 0.16, h), (0, 0, tall + h / 2 - 0.04), 0.6))
        for s in (-1, 1):
            path = rounded(
                [
                    (0, 0, tall + h * 0.4),
                    (s * 0.18, 0, tall + h * 0.45),
                    (s * 0.18, 0, tall + h * 0.8),
                ],
                0.06,
            )
            item.add("arms", leaf, tube(path, 0.045))
        return item
    crown = tall - 0.02
    if style in ("tree", "palm"):
        crown = tall + float(rng.uniform(0.3, 0.8))
        bark = solid(jittered(rng, (0.36, 0.26, 0.18)), 0)
        item.add("trunk", bark, rod((0, 0, tall - 0.05), (0.04, 0, crown + 0.1), 0.025, 0.018))
    count = int(rng.integers(16, 30)) if style != "tree" else 46
    for _ in range(count):
        angle, lift = float(rng.uniform(0, 6.28)), float(rng.uniform(-0.2, 1.2))
        length, width, droop = {
            "bush": (rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.15), 0.5),
            "palm": (rng.uniform(0.5, 0.8), rng.uniform(0.06, 0.11), 0.85),
            "blades": (rng.uniform(0.5, 0.9), rng.uniform(0.06, 0.1), 0.2),
            "tree": (rng.uniform(0.14, 0.24), rng.uniform(0.08, 0.12), 0.6),
        }[style]
        base = np.array([0.0, 0.0, crown])
        if style == "blades":
            lift = float(rng.uniform(0.8, 1.1))
            base[:2] = rng.uniform(-0.5, 0.5, 2) * r
        elif style == "tree":
            direction = rng.normal(size=3)
            base += direction / np.linalg.norm(direction) * (0.28, 0.28, 0.25) * rng.uniform(0.4, 1)
            base[2] += 0.25
        mesh = _leaf(float(length), float(width), droop)
        item.add("leaves", leaf, transformed(mesh, yaw(angle) @ pitch(lift), base))
    return item
