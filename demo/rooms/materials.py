"""Colours and materials, with the words that captions use for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.random import Generator

T = TypeVar("T")
Colour = tuple[float, float, float]

# Display values (sRGB, 0 to 1) that people agree to call by these names.
COLOURS: dict[str, Colour] = {
    "white": (0.93, 0.92, 0.90),
    "cream": (0.90, 0.85, 0.72),
    "beige": (0.80, 0.71, 0.58),
    "light grey": (0.74, 0.74, 0.74),
    "grey": (0.52, 0.52, 0.53),
    "dark grey": (0.27, 0.27, 0.29),
    "black": (0.10, 0.10, 0.11),
    "brown": (0.45, 0.29, 0.18),
    "dark brown": (0.25, 0.16, 0.11),
    "tan": (0.71, 0.52, 0.33),
    "red": (0.76, 0.15, 0.14),
    "dark red": (0.45, 0.10, 0.12),
    "orange": (0.88, 0.46, 0.14),
    "yellow": (0.90, 0.76, 0.24),
    "mustard": (0.74, 0.57, 0.16),
    "olive": (0.46, 0.46, 0.24),
    "green": (0.24, 0.52, 0.28),
    "dark green": (0.12, 0.28, 0.20),
    "mint": (0.64, 0.82, 0.72),
    "teal": (0.12, 0.45, 0.46),
    "turquoise": (0.26, 0.68, 0.68),
    "light blue": (0.58, 0.73, 0.86),
    "blue": (0.18, 0.36, 0.68),
    "navy": (0.11, 0.16, 0.33),
    "purple": (0.42, 0.24, 0.50),
    "pink": (0.88, 0.60, 0.66),
}
WOODS: dict[str, tuple[Colour, Colour, str]] = {
    "oak": ((0.74, 0.57, 0.38), (0.60, 0.43, 0.26), "light brown"),
    "pine": ((0.86, 0.69, 0.45), (0.74, 0.54, 0.31), "light brown"),
    "birch": ((0.87, 0.77, 0.60), (0.79, 0.67, 0.49), "cream"),
    "beech": ((0.78, 0.58, 0.41), (0.70, 0.48, 0.32), "light brown"),
    "walnut": ((0.42, 0.27, 0.18), (0.27, 0.17, 0.11), "dark brown"),
    "cherry": ((0.58, 0.31, 0.19), (0.44, 0.21, 0.12), "reddish brown"),
    "mahogany": ((0.40, 0.17, 0.11), (0.27, 0.10, 0.07), "reddish brown"),
    "teak": ((0.60, 0.41, 0.23), (0.46, 0.29, 0.15), "brown"),
}
PALE = ("white", "cream", "beige", "light grey")
VIVID = ("red", "orange", "yellow", "mustard", "green", "teal", "turquoise", "blue", "pink")
DARK = ("black", "dark grey", "dark brown", "navy", "dark green", "dark red")


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface looks.

    `kind` names a pattern of `textures.PATTERNS`; `first` and `second` are its colours as display
    values; `scale` its size in metres; `gloss` 0 to 1; `glow` the light it sends out itself;
    `phase` shifts the pattern. `word` and `colour` are for captions.
    """

    kind: str
    first: Colour
    second: Colour
    scale: float = 1.0
    gloss: float = 0.05
    glow: float = 0.0
    phase: float = 0.0
    word: str = ""
    colour: str = ""


def pick(rng: Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


def chance(rng: Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def jittered(rng: Generator, colour: Colour, amount: float = 0.05) -> Colour:
    """The colour a little lighter or darker and a little shifted in hue."""
    shift = rng.normal(0, amount) + rng.normal(0, amount * 0.4, 3)
    r, g, b = np.clip(np.asarray(colour) + shift, 0.03, 0.97)
    return float(r), float(g), float(b)


def darker(colour: Colour, factor: float) -> Colour:
    """The colour scaled, for seams and shades."""
    r, g, b = (min(0.98, c * factor) for c in colour)
    return r, g, b


def any_colour(rng: Generator) -> str:
    """The name of a colour as rooms have them: muted ones more often than vivid ones."""
    group = pick(rng, (PALE, VIVID, DARK, tuple(COLOURS), tuple(COLOURS)))
    return pick(rng, group)


def wood(rng: Generator, name: str | None = None) -> Material:
    """Bare wood with its grain."""
    name = name or pick(rng, tuple(WOODS))
    first, second, colour = WOODS[name]
    first = jittered(rng, first, 0.04)
    return Material(
        "wood",
        first,
        darker(first, second[0] / WOODS[name][0][0]),
        float(rng.uniform(0.6, 1.4)),
        float(rng.uniform(0.05, 0.35)),
        phase=float(rng.random()),
        word="wooden",
        colour=colour,
    )


def _plain(
    rng: Generator, name: str | None, word: str, gloss: tuple[float, float], kind: str = "plain"
) -> Material:
    name = name or any_colour(rng)
    first = jittered(rng, COLOURS[name])
    shine = float(rng.uniform(*gloss))
    second = darker(first, 0.9)
    phase = float(rng.random())
    return Material(kind, first, second, 1.0, shine, phase=phase, word=word, colour=name)


def painted(rng: Generator, name: str | None = None) -> Material:
    """Painted wood."""
    return _plain(rng, name, "painted wooden", (0.1, 0.4))


def plastic(rng: Generator, name: str | None = None) -> Material:
    """Moulded plastic."""
    return _plain(rng, name, "plastic", (0.2, 0.6))


def leather(rng: Generator, name: str | None = None) -> Material:
    """Leather, usually in browns and darks."""
    name = name or pick(rng, ("brown", "dark brown", "black", "tan", "dark red", "cream", "white"))
    return _plain(rng, name, "leather", (0.25, 0.55), "leather")


def metal(rng: Generator, name: str | None = None) -> Material:
    """Steel, black or white metal, or brass."""
    name = name or pick(rng, ("steel", "steel", "black", "dark grey", "white", "brass"))
    if name in ("steel", "brass"):
        first = (0.66, 0.67, 0.69) if name == "steel" else (0.71, 0.57, 0.30)
        first = jittered(rng, first, 0.05)
        colour = "silver" if name == "steel" else "gold"
        return Material("metal", first, darker(first, 0.6), 1.0, 0.8, word="metal", colour=colour)
    return _plain(rng, name, "metal", (0.3, 0.6))


def fabric(rng: Generator, name: str | None = None, patterned: float = 0.3) -> Material:
    """Cloth: plain weave, or with the probability `patterned` a woven or printed pattern."""
    name = name or any_colour(rng)
    base = _plain(rng, name, "fabric", (0.0, 0.05), "weave")
    if not chance(rng, patterned):
        return base
    kind = pick(rng, ("stripes", "checks", "gingham", "dots", "herringbone", "blossoms"))
    contrast = pick(rng, PALE if name not in PALE else VIVID + DARK)
    second = jittered(rng, COLOURS[contrast])
    scale = float(rng.uniform(0.05, 0.16))
    return replace(base, kind=kind, second=second, scale=scale, word=kind + " fabric")


def solid(colour: Colour, gloss: float = 0.1, word: str = "", name: str = "") -> Material:
    """One flat colour."""
    return Material("plain", colour, darker(colour, 0.95), 1.0, gloss, word=word, colour=name)
