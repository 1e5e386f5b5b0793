"""What walls and floors are made of."""

from dataclasses import replace

from numpy.random import Generator

from demo.rooms.materials import COLOURS, PALE, Material, chance, darker, jittered, pick, wood


def _wall_colour(rng: Generator) -> str:
    tinted = (
        "mint",
        "light blue",
        "mustard",
        "teal",
        "navy",
        "dark green",
        "pink",
        "grey",
        "olive",
    )
    return pick(rng, PALE) if chance(rng, 0.7) else pick(rng, tinted)


def wall_material(rng: Generator) -> Material:
    """Paint, paper, brick or boards."""
    name = _wall_colour(rng)
    first = jittered(rng, COLOURS[name], 0.03)
    kind = pick(
        rng, ("plaster",) * 14 + ("damask", "blossoms", "stripes", "bricks", "panels", "dots")
    )
    second, scale, word = darker(first, 0.94), 1.0, "painted"
    if kind in ("damask", "blossoms", "stripes", "dots"):
        second = jittered(rng, darker(first, float(rng.uniform(0.75, 1.15))), 0.04)
        scale, word = float(rng.uniform(0.12, 0.28)), "papered"
    elif kind == "bricks":
        name, word, scale = "red", "brick", float(rng.uniform(0.07, 0.09))
        first, second = jittered(rng, (0.58, 0.31, 0.23)), (0.72, 0.69, 0.65)
        if chance(rng, 0.35):
            name, first, second = "white", jittered(rng, (0.86, 0.85, 0.83)), (0.72, 0.70, 0.68)
    elif kind == "panels":
        scale, word = float(rng.uniform(0.09, 0.16)), "panelled"
    return Material(
        kind, first, second, scale, 0.03, phase=float(rng.random()), word=word, colour=name
    )


def floor_material(rng: Generator) -> Material:
    """Boards, parquet, tiles, carpet or stone."""
    kind = pick(
        rng, ("planks",) * 5 + ("parquet", "parquet", "tiles", "chequer", "carpet", "marble")
    )
    if kind in ("planks", "parquet"):
        base = wood(rng)
        scale = float(rng.uniform(0.09, 0.18) if kind == "planks" else rng.uniform(0.25, 0.45))
        return replace(base, kind=kind, scale=scale, gloss=float(rng.uniform(0.1, 0.45)))
    name = pick(rng, ("beige", "cream", "light grey", "grey", "brown", "white", "dark grey", "tan"))
    first = jittered(rng, COLOURS[name], 0.04)
    second = darker(first, float(rng.uniform(0.55, 0.8)))
    scale, gloss = float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.2, 0.6))
    if kind == "carpet":
        return Material(kind, first, second, 1, 0.0, word="carpeted", colour=name)
    if kind == "chequer" and chance(rng, 0.6):
        second = jittered(
            rng, COLOURS[pick(rng, ("black", "dark grey", "brown", "dark green"))], 0.03
        )
    word = "marble" if kind == "marble" else "tiled"
    return Material(
        kind, first, second, scale, gloss, phase=float(rng.random()), word=word, colour=name
    )
