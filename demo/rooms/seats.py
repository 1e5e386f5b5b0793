"""Chairs with moulded, bent or padded parts; `chairs` has the wooden ones and the list of all."""

import numpy as np
from numpy.random import Generator

from demo.rooms.curved import cushion, ellipsoid, lathe, rod, rounded, shell, tube
from demo.rooms.geometry import Mesh, beam, box, pitch, prism, transformed
from demo.rooms.item import CHAIR, Item
from demo.rooms.materials import Material, chance, fabric, leather, metal, pick, plastic, wood


def square_legs(
    inset: float, w: float, d: float, h: float, thick: float, splay: float
) -> list[Mesh]:
    """Four square legs from the seat's corners to the floor."""
    out = []
    for sx in (-1, 1):
        for sy in (-1, 1):
            top = np.array([sx * (w / 2 - inset), sy * (d / 2 - inset), h])
            foot = np.array([top[0] + sx * splay, top[1] + sy * splay, 0.0])
            out.append(prism(foot, top, (thick * 0.85, thick * 0.85), (thick, thick)))
    return out


def cover_for(rng: Generator) -> Material:
    return fabric(rng) if chance(rng, 0.7) else leather(rng)


def round_legs(w: float, d: float, h: float, radius: float, splay: float) -> list[Mesh]:
    out = []
    for sx in (-1, 1):
        for sy in (-1, 1):
            top = (sx * w / 2, sy * d / 2, h)
            foot = (sx * (w / 2 + splay), sy * (d / 2 + splay), 0.0)
            out.append(rod(foot, top, radius * 0.8, radius))
    return out


def office(rng: Generator) -> Item:
    """Swivel chair on a five-star base with castors."""
    item = Item(CHAIR, "office chair")
    dark = plastic(rng, pick(rng, ("black", "black", "dark grey", "white", "grey")))
    base = metal(rng, "steel") if chance(rng, 0.4) else dark
    cover = (
        cover_for(rng) if chance(rng, 0.6) else fabric(rng, pick(rng, ("black", "dark grey")), 0)
    )
    h, start = float(rng.uniform(0.44, 0.52)), float(rng.uniform(0, 6.28))
    for k in range(5):
        a = start + k * 2 * np.pi / 5
        c, s = np.cos(a), np.sin(a)
        item.add("star base", base, rod((0, 0, 0.12), (0.3 * c, 0.3 * s, 0.085), 0.03, 0.022))
        item.add("castors", dark, ellipsoid((0.03, 0.03, 0.036), (0.3 * c, 0.3 * s, 0.036), 6, 9))
    item.add("column", base, rod((0, 0, 0.08), (0, 0, h), 0.028))
    item.add("", dark, box((0.2, 0.24, 0.04), (0, 0, h)))
    item.add("seat", cover, cushion((0.5, 0.48, 0.1), (0, 0.02, h + 0.055), 0.45))
    tall = float(rng.uniform(0.42, 0.7))
    back = cushion((0.46, 0.085, tall), (0, 0, tall / 2), 0.4)
    item.add("back", cover, transformed(back, pitch(0.14), (0, -0.22, h + 0.14)))
    item.add(
        "",
        dark,
        beam((0, -0.1, h), (0, -0.27, h + 0.03), 0.07, 0.03),
        beam((0, -0.27, h), (0, -0.3, h + 0.3), 0.07, 0.03),
    )
    if chance(rng, 0.65):
        for s in (-1, 1):
            x = s * 0.28
            path = rounded([(s * 0.2, 0, h), (x, 0, h + 0.01), (x, 0, h + 0.22)], 0.06)
            item.add("armrests", dark, tube(path, 0.02), box((0.07, 0.26, 0.03), (x, 0, h + 0.23)))
    return item


def stool(rng: Generator) -> Item:
    """Round stool with a low curved back; sometimes of bar height."""
    h = float(pick(rng, (0.46, 0.46, 0.66)))
    item = Item(CHAIR, "bar stool" if h > 0.6 else "low-back stool")
    frame = metal(rng) if chance(rng, 0.5) else wood(rng)
    seat = pick(rng, (wood, cover_for, plastic))(rng)
    item.add("legs", frame, *round_legs(0.22, 0.22, h, 0.019, 0.07))
    ring = np.linspace(0, 2 * np.pi, 25)
    level, reach = h * 0.35, 0.155 + 0.07 * 0.65 * 1.2
    circle = np.stack([np.cos(ring) * reach, np.sin(ring) * reach, np.full(25, level)], 1)
    item.add("foot ring", frame, tube(circle, 0.012))
    item.add(
        "seat", seat, lathe([(0, h), (0.18, h), (0.2, h + 0.02), (0.19, h + 0.05), (0, h + 0.06)])
    )
    arc = np.linspace(-0.5, 3.64, 15) + np.pi
    rim = np.stack([np.cos(arc) * 0.2, np.sin(arc) * 0.2, np.zeros(15)], 1)
    up = np.array([0, 0, 1.0])
    sheet = np.stack([rim + up * (h + 0.14), rim * 1.06 + up * (h + 0.27)], 0)
    item.add("back", seat, shell(sheet, 0.025))
    for a in (np.pi, 1.5 * np.pi, 2 * np.pi):
        p = np.array([np.cos(a) * 0.185, np.sin(a) * 0.185, h])
        item.add("", frame, rod(p, p * (1.06, 1.06, 1) + (0, 0, 0.18), 0.014))
    return item


def tub(rng: Generator) -> Item:
    """Tub chair: a padded shell that wraps around the seat."""
    item = Item(CHAIR, "tub chair")
    cover = cover_for(rng)
    legs = wood(rng) if chance(rng, 0.7) else metal(rng)
    h, r = 0.40, 0.33
    arc = np.linspace(-0.35, np.pi + 0.35, 21) + np.pi
    high = float(rng.uniform(0.25, 0.4))
    lift = 0.12 + high * np.clip(np.sin(arc - np.pi) * 0.8 + 0.4, 0, 1)
    rows = []
    for t in np.linspace(0, 1, 5):
        spread = r * (0.92 + 0.12 * t)
        level = 0.16 + t * (h - 0.16 + lift)
        rows.append(
            np.stack([np.cos(arc) * spread, np.sin(arc) * spread * 0.95, level], 1)
            if np.ndim(level)
            else np.stack(
                [np.cos(arc) * spread, np.sin(arc) * spread * 0.95, np.full(21, level)], 1
            )
        )
    item.add("back", cover, shell(np.stack(rows), -0.07))
    item.add("seat", cover, cushion((0.54, 0.56, 0.26), (0, 0.04, 0.30), 0.35))
    item.add("legs", legs, *round_legs(0.36, 0.36, 0.2, 0.022, 0.03))
    return item


def cantilever(rng: Generator) -> Item:
    """Chair on one bent steel tube without back legs."""
    item = Item(CHAIR, "cantilever chair")
    frame, cover = metal(rng), pick(rng, (cover_for, cover_for, wood))(rng)
    w, h, radius = 0.46, 0.45, float(rng.uniform(0.014, 0.019))
    for s in (-1, 1):
        x = s * w / 2
        path = rounded(
            [
                (0, -0.24, 0.018),
                (x, -0.24, 0.018),
                (x, 0.24, 0.018),
                (x, 0.24, h),
                (x, -0.22, h - 0.02),
                (x, -0.32, h + 0.42),
            ],
            0.08,
        )
        item.add("steel tube", frame, tube(path[:6], radius), tube(path[6:], radius))
        item.add("", frame, tube(path[4:8], radius))
        if chance(rng, 0.4):
            arm = rounded([(x, -0.26, h + 0.2), (x, 0.16, h + 0.22), (x, 0.24, h)], 0.08)
            item.add("armrests", frame, tube(arm, radius))
    item.add("seat", cover, cushion((w - 0.02, 0.46, 0.06), (0, 0.0, h + 0.01), 0.25))
    back = cushion((w - 0.02, 0.05, 0.32), (0, 0, 0.16), 0.25)
    item.add("back", cover, transformed(back, pitch(0.22), (0, -0.24, h + 0.12)))
    return item


def parsons(rng: Generator) -> Item:
    """Upholstered dining chair with a high straight back."""
    item = Item(CHAIR, "high-back chair")
    cover, frame = cover_for(rng), wood(rng)
    w, d, h = 0.46, 0.46, 0.47
    top = float(rng.uniform(0.95, 1.12))
    item.add("legs", frame, *square_legs(0.03, w, d, h - 0.08, 0.045, 0.01))
    item.add("seat", cover, cushion((w, d, 0.15), (0, 0, h - 0.06), 0.22))
    back = cushion((w, 0.085, top - h + 0.1), (0, 0, (top - h + 0.1) / 2), 0.2)
    item.add("back", cover, transformed(back, pitch(0.1), (0, -d / 2 + 0.03, h - 0.1)))
    return item


def moulded(rng: Generator) -> Item:
    """One-piece plastic or plywood shell on dowel legs or a wire base."""
    item = Item(CHAIR, "shell chair")
    body = plastic(rng) if chance(rng, 0.75) else wood(rng)
    frame = wood(rng) if chance(rng, 0.6) else metal(rng)
    profile = rounded([(0, 0.23, 0.44), (0, -0.18, 0.43), (0, -0.27, 0.84)], 0.16, 6)
    across = np.linspace(-1, 1, 11)
    rows = []
    for k, p in enumerate(profile):
        t = k / (len(profile) - 1)
        half = 0.235 - 0.045 * abs(2 * t - 0.9) ** 2
        bend = across**2
        rows.append(
            np.stack([across * half, p[1] + bend * 0.09 * t, p[2] + bend * 0.05 * (1 - t)], 1)
        )
    item.add("shell", body, shell(np.stack(rows), 0.018))
    item.add("legs", frame, *round_legs(0.22, 0.24, 0.44, 0.018, 0.1))
    if chance(rng, 0.5):
        item.add(
            "",
            frame,
            rod((-0.15, -0.16, 0.25), (0.15, 0.16, 0.25), 0.009),
            rod((0.15, -0.16, 0.25), (-0.15, 0.16, 0.25), 0.009),
        )
    return item


def lounge(rng: Generator) -> Item:
    """Upholstered easy chair with arms."""
    item = Item(CHAIR, "easy chair")
    cover = cover_for(rng)
    w, d = float(rng.uniform(0.72, 0.84)), 0.76
    arm, h = float(rng.uniform(0.1, 0.16)), 0.42
    item.add("legs", wood(rng), *square_legs(0.06, w, d, 0.16, 0.05, 0.01))
    item.add("", cover, cushion((w, d, 0.2), (0, 0, 0.22), 0.15))
    item.add("seat", cover, cushion((w - 2 * arm, d - 0.18, 0.17), (0, 0.08, h - 0.06), 0.3))
    back = cushion((w - 0.04, 0.2, 0.62), (0, 0, 0.31), 0.3)
    item.add("back", cover, transformed(back, pitch(0.18), (0, -d / 2 + 0.14, 0.24)))
    for s in (-1, 1):
        item.add(
            "armrests", cover, cushion((arm, d - 0.1, 0.4), (s * (w - arm) / 2, 0.03, 0.38), 0.25)
        )
    if chance(rng, 0.4):
        pillow = cushion((0.36, 0.12, 0.34), (0, 0, 0.17), 0.6)
        item.add("cushion", fabric(rng), transformed(pillow, pitch(0.3), (0, -0.12, h + 0.02)))
    return item
