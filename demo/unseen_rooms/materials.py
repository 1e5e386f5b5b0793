"""What things are made of: periodic textures of linear colour, drawn with numpy."""

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rng = np.random.Generator

SIDE = 256  # pixels of a texture
WOODS = ("#c9a272", "#8a5a36", "#5a3a26", "#dcc19a", "#a9713f", "#3a2c25", "#e9e4da", "#b98b5e")


@dataclass(frozen=True, eq=False)
class Material:
    """A texture (H, W, 3) of reflectance, or of radiance where the finish is "light".

    It repeats every `metres`; where that is 0 it is laid once over the whole part.
    """

    texture: Array
    metres: float = 1.0
    finish: str = "matt"  # or "satin", "gloss", "metal", "light"


def linear(srgb: Array) -> Array:
    """Of values from 0 to 1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def hexed(colour: str) -> Array:
    return linear(np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]))


def colour(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> Array:
    """Of any hue, more often a warm one or a blue; (3,)."""
    hue = rng.choice([rng.random(), rng.normal(0.08, 0.04), rng.normal(0.58, 0.06)]) % 1
    hsv = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return linear(np.array(hsv))


def noise(rng: Rng, along: float = 1, across: float = 1, power: float = 1.5) -> Array:
    """(SIDE, SIDE), periodic, of mean 0 and deviation 1; smoother with a larger `power`."""
    x, y = np.fft.rfftfreq(SIDE, 1 / SIDE) * along, np.fft.fftfreq(SIDE, 1 / SIDE) * across
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE)))
    field = np.fft.irfft2(spectrum / (1 + np.hypot(x[None], y[:, None])) ** power)
    return np.asarray((field - field.mean()) / field.std())


def tinted(base: Array, variation: Array) -> Array:
    return np.clip(base * (1 + variation[..., None]), 0.003, 0.92)


def plain(base: Array, finish: str = "matt") -> Material:
    return Material(np.tile(base, (4, 4, 1)), 1.0, finish)


def wood(rng: Rng, finish: str = "satin") -> Material:
    grain = noise(rng, along=14, power=1.0)
    rings = np.sin(5 * noise(rng, along=6, power=2.0))
    base = hexed(rng.choice(WOODS)) * rng.uniform(0.8, 1.1)
    strength = rng.uniform(0.4, 1)
    return Material(tinted(base, strength * (0.13 * grain + 0.1 * rings)), 0.7, finish)


def painted(rng: Rng) -> Material:
    saturation = (0, 0.08) if rng.random() < 0.5 else (0.2, 0.7)
    base = colour(rng, saturation, (0.15, 0.9))
    return plain(base, str(rng.choice(["satin", "gloss"])))


def metal(rng: Rng) -> Material:
    if rng.random() < 0.4:
        return plain(np.full(3, rng.uniform(0.01, 0.04)), "satin")  # black lacquer
    return plain(hexed(rng.choice(["#d8d8d8", "#b0b0b4", "#d8b470"])), "metal")


def fabric(rng: Rng, saturation: tuple[float, float] = (0.05, 0.6)) -> Material:
    base, other = (colour(rng, saturation, (0.2, 0.85)) for _ in range(2))
    weave = 0.1 * noise(rng, power=0.3) + 0.05 * noise(rng, power=2)
    y, x = np.indices((SIDE, SIDE)) / SIDE
    count = int(rng.integers(2, 7))
    pattern = rng.choice(["plain", "plain", "plain", "stripes", "checks", "blots"])
    share = {
        "plain": np.zeros_like(x),
        "stripes": (x * count % 1 < 0.4) * 1.0,
        "checks": ((x * count % 1 < 0.5) * 1.0 + (y * count % 1 < 0.5)) / 2,
        "blots": (noise(rng, 4, 4, 3) > 0.7) * 1.0,
    }[pattern][..., None]
    return Material(tinted(base * (1 - share) + other * share, weave), 0.45)


def plaster(rng: Rng) -> Material:
    """A wall's: mostly pale, sometimes strong, sometimes papered with stripes."""
    if rng.random() < 0.75:
        base = colour(rng, (0, 0.14), (0.78, 0.95))
    else:
        base = colour(rng, (0.15, 0.5), (0.35, 0.8))
    variation = 0.015 * noise(rng, power=0.4) + 0.02 * noise(rng, power=2.5)
    if rng.random() < 0.15:
        variation = variation - 0.12 * (np.arange(SIDE) // 16 % 2)
    return Material(tinted(base, variation), 1.5)


def planks(rng: Rng) -> Material:
    boards, base = int(rng.choice([8, 16])), hexed(rng.choice(WOODS[:5])) * rng.uniform(0.8, 1.1)
    texture = tinted(base, 0.12 * noise(rng, along=20, power=0.9))
    height = SIDE // boards
    for row in range(boards):
        strip = texture[row * height : (row + 1) * height]
        joints = rng.permutation(SIDE)[:2]
        strip[:, joints.min() : joints.max()] *= rng.uniform(0.8, 1.1)
        strip *= rng.uniform(0.85, 1.1)
        strip[0] *= 0.5
        strip[:, joints] *= 0.55
    return Material(np.clip(texture, 0, 0.9), 1.6, "satin")


def tiles(rng: Rng) -> Material:
    count, base = int(rng.choice([2, 4])), colour(rng, (0, 0.2), (0.35, 0.9))
    y, x = np.indices((SIDE, SIDE)) * count / SIDE
    pieces = rng.uniform(-0.08, 0.08, (count, count))[y.astype(int), x.astype(int)]
    if rng.random() < 0.3:
        pieces = pieces - 0.45 * ((x.astype(int) + y.astype(int)) % 2)
    texture = tinted(base, pieces + 0.05 * noise(rng, power=1.4))
    texture[(np.minimum(x % 1, y % 1) < 0.02 * count)] *= 0.6
    return Material(texture, 1.2, "satin")


def floor(rng: Rng) -> Material:
    kind = rng.choice(["planks", "planks", "planks", "tiles", "carpet"])
    if kind == "planks":
        return planks(rng)
    if kind == "tiles":
        return tiles(rng)
    base = colour(rng, (0, 0.3), (0.3, 0.75))
    return Material(tinted(base, 0.12 * noise(rng, power=0.2) + 0.04 * noise(rng, power=2)), 0.8)


def rug(rng: Rng) -> Material:
    """Laid once: a border, and a field that is plain, banded or of lozenges."""
    base, other, edge = (colour(rng, (0.1, 0.7), (0.2, 0.85)) for _ in range(3))
    y, x = np.abs(np.indices((SIDE, SIDE)) / SIDE - 0.5)
    count = int(rng.integers(3, 9))
    field = [np.zeros_like(x), y * count % 1 < 0.5, (x + y) * count % 1 < 0.4][rng.integers(3)]
    share = np.asarray(field, float)[..., None]
    texture = base * (1 - share) + other * share
    if rng.random() < 0.6:
        texture[np.maximum(x, y) > 0.5 - rng.uniform(0.03, 0.1)] = edge
    return Material(tinted(texture, 0.12 * noise(rng, power=0.2)), 0)


def art(rng: Rng) -> Array:
    """A painting (SIDE, SIDE, 3): hills, shapes of colour, or rectangles."""
    height, kind = np.linspace(1, 0, SIDE)[:, None], rng.integers(3)
    first, second = (colour(rng, (0.1, 0.5), (0.6, 1)) for _ in range(2))
    texture = first * height[..., None] + second * (1 - height[..., None]) * np.ones((SIDE, 1))
    if kind == 0:
        for level in np.sort(rng.uniform(0.15, 0.6, 4))[::-1]:
            ridge = level + 0.05 * noise(rng, power=2)[0]
            texture[height < ridge] = colour(rng, (0.1, 0.6), (0.15, 0.8))
    for _ in range(6 * (kind == 1)):
        shape = noise(rng, power=3) > rng.uniform(0.3, 1.2)
        texture[shape] = colour(rng, (0.2, 0.9), (0.1, 1))
    for _ in range(12 * (kind == 2)):
        x0, y0 = rng.integers(0, SIDE - 40, 2)
        width, tall = rng.integers(20, 120, 2)
        texture[y0 : y0 + tall, x0 : x0 + width] = colour(rng, (0, 0.9), (0.1, 1))
    return tinted(texture, 0.04 * noise(rng, power=0.5))


def outside(rng: Rng, night: bool) -> Material:
    """What a window shows, as light: sky, a line of houses or trees, a lawn."""
    if night:
        return Material(np.tile(np.array([0.02, 0.03, 0.06]), (4, 4, 1)), 0, "light")
    height = np.linspace(1, 0, SIDE)[:, None, None]
    sky = np.array([0.75, 0.88, 1.05]) * (0.75 + 0.25 * (1 - height)) * np.ones((SIDE, 1))
    clouds = np.clip(0.15 * noise(rng, along=0.6, power=2), -0.1, 0.25)[..., None]
    ridge = rng.uniform(0.25, 0.5) + 0.06 * noise(rng, power=1.2)[0]
    trees = tinted(np.array([0.16, 0.24, 0.1]), 0.3 * noise(rng, power=0.8))
    lawn = tinted(np.array([0.3, 0.4, 0.2]), 0.1 * noise(rng, power=0.8))
    texture = np.where(height[..., 0] < ridge, 0, 1)[..., None] * (sky + clouds)
    texture += np.where(height[..., 0] < ridge, 1, 0)[..., None] * trees
    texture = np.where(height < rng.uniform(0.05, 0.2), lawn, texture)
    return Material(texture * rng.uniform(5, 8), 0, "light")


def glow(rng: Rng, strength: float) -> Material:
    """A lamp's shade or bulb, warm to neutral."""
    warm = np.array([1.0, rng.uniform(0.72, 0.9), rng.uniform(0.42, 0.75)])
    return Material(np.tile(warm * strength, (4, 4, 1)), 1.0, "light")
