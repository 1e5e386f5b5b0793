"""Shading models other than the demo's own, and other ways to develop the picture."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from demo.rooms import shading
from demo.rooms.geometry import Floats
from demo.rooms.materials import chance
from demo.rooms.scene import Scene
from demo.rooms.shading import Seen

Style = Callable[[Generator, Scene, Seen], Floats]


def traced(rng: Generator, scene: Scene, seen: Seen) -> Floats:
    """The demo's own light, its shares mixed anew; (3, N) linear."""
    ambient = float(np.exp(rng.uniform(np.log(0.05), np.log(0.8))))
    direct, bounce, shine = shading.lit(rng, scene, seen, ambient)
    light = direct * float(rng.uniform(0.3, 1.2)) + bounce * float(rng.uniform(0.6, 2.0))
    light += shading.glowing(scene, seen)
    found: Floats = seen.albedo.T * light + shine * float(rng.uniform(0, 1.5))
    return found


def lambert(rng: Generator, scene: Scene, seen: Seen) -> Floats:
    """A lamp at the camera or far away, and a sky: no shadows, as a modelling program shows it."""
    found: Floats = seen.albedo.T * directional(rng, seen) + shine(rng, seen)
    return found + seen.albedo.T * shading.glowing(scene, seen)


def flat(rng: Generator, _scene: Scene, seen: Seen) -> Floats:
    """The surfaces' own colours, without or with little light."""
    amount = float(rng.choice((0.0, 0.15, 0.35)))
    light = directional(rng, seen)
    found: Floats = seen.albedo.T * (1 - amount + amount * light)
    return found


def toon(rng: Generator, scene: Scene, seen: Seen) -> Floats:
    """One colour a surface in two to four steps of light."""
    steps = int(rng.integers(2, 5))
    light = np.ceil(np.clip(directional(rng, seen), 0.01, 1) * steps) / steps
    colours = plain_colours(scene, seen) if chance(rng, 0.7) else seen.albedo.T
    return np.asarray(colours * light, np.float32)


def clay(rng: Generator, scene: Scene, seen: Seen) -> Floats:
    """All of one colour, or nearly: only shapes are told."""
    grey = np.float32(rng.uniform(0.3, 0.8))
    tint = (grey * (1 + rng.normal(0, 0.08, 3))).astype(np.float32)[:, None]
    mixed = np.float32(0.8) * tint + seen.albedo.T * np.float32(0.2 * rng.random())
    if chance(rng, 0.4):
        direct, bounce, _ = shading.lit(rng, scene, seen, 0.3)
        light = direct + bounce
    else:
        light = directional(rng, seen)
    return np.asarray(mixed * light, np.float32)


def paper(rng: Generator, _scene: Scene, seen: Seen) -> Floats:
    """Bare paper for lines, perhaps with faint colours or hatching by light."""
    white = np.full((3, len(seen.patch)), np.float32(rng.uniform(0.7, 1.0)), np.float32)
    faint = np.float32(rng.choice((0.0, 0.25, 0.6)))
    light = directional(rng, seen) if chance(rng, 0.4) else np.float32(1)
    found: Floats = white * (1 - faint + faint * seen.albedo.T) * (0.6 + 0.4 * light)
    return found


STYLES: tuple[tuple[float, Style, float], ...] = (
    # share, style, and the probability that outlines are drawn over it
    (0.50, traced, 0.0),
    (0.17, lambert, 0.1),
    (0.10, flat, 0.3),
    (0.09, toon, 0.7),
    (0.06, clay, 0.3),
    (0.08, paper, 1.0),
)


def directional(rng: Generator, seen: Seen) -> Floats:
    """(3, N) or (1, N) light of a far lamp and of a sky above a ground."""
    towards = rng.normal(size=3) + np.array([0, 0, 1.2])
    towards = (towards / np.linalg.norm(towards)).astype(np.float32)
    key = np.maximum(towards @ seen.normal, 0)
    if chance(rng, 0.4):  # a lamp at the camera
        key = np.maximum(-(seen.directions * seen.normal).sum(axis=0), 0)
        if chance(rng, 0.5):
            key = key / (0.3 + 0.1 * seen.distance**2)
    sky = (0.5 + 0.5 * seen.normal[2]) * float(rng.uniform(0, 0.5)) + float(rng.uniform(0.05, 0.4))
    tints = 1 + rng.normal(0, 0.1, (2, 3, 1))
    found: Floats = (tints[0] * key * rng.uniform(0.4, 1.0) + tints[1] * sky).astype(np.float32)
    return found


def shine(rng: Generator, seen: Seen) -> Floats:
    """(N,) highlights of a lamp above the camera."""
    if chance(rng, 0.5):
        return np.zeros(len(seen.patch), np.float32)
    mirror = -(seen.directions * seen.normal).sum(axis=0)
    return np.asarray(rng.uniform(0.05, 0.3) * np.maximum(mirror, 0) ** 24, np.float32)


def plain_colours(scene: Scene, seen: Seen) -> Floats:
    """(3, N) the mean colour of each surface's material, linear."""
    pairs = [
        (np.asarray(m.first, np.float32) + np.asarray(m.second, np.float32)) / 2
        for m in scene.materials
    ]
    table = np.array(pairs, np.float32) ** 2
    return np.ascontiguousarray(table[seen.material].T)


def outlines(rng: Generator, seen: Seen) -> NDArray[np.float32]:
    """(H, W) 1 where no line is and lower on lines: between objects, or between surfaces too."""
    height, width = seen.shape
    edge = np.zeros((height, width), np.uint8)
    owner = seen.owner.reshape(height, width)
    creases = chance(rng, 0.7)
    normal = seen.normal.reshape(3, height, width)
    depth = seen.distance.reshape(height, width)
    for axis in (0, 1):
        a = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        b = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        found = owner[a] != owner[b]
        if creases:
            found |= (normal[(slice(None), *a)] * normal[(slice(None), *b)]).sum(axis=0) < 0.8
            found |= np.abs(depth[a] / depth[b] - 1) > 0.08
        edge[a] |= found.astype(np.uint8)
    if chance(rng, 0.3):
        edge = np.asarray(cv2.dilate(edge, np.ones((2, 2), np.uint8)), np.uint8)
    soft = cv2.GaussianBlur(edge.astype(np.float32), (0, 0), float(rng.uniform(0.4, 0.8)))
    return np.asarray(1 - np.clip(soft * rng.uniform(0.7, 1.6), 0, 1), np.float32)


def paint(rng: Generator, scene: Scene, seen: Seen) -> NDArray[np.uint8]:
    """The picture of what is seen, by a shading model drawn at random; (H, W, 3) uint8."""
    shares = np.array([share for share, _, _ in STYLES])
    _, style, lines = STYLES[int(rng.choice(len(STYLES), p=shares / shares.sum()))]
    linear = style(rng, scene, seen)
    if chance(rng, 0.08):  # haze
        near = np.exp(-seen.distance * float(rng.uniform(0.03, 0.2))).astype(np.float32)
        linear = linear * near + float(np.median(linear)) * 1.3 * (1 - near)
    linear[:, seen.missed] = 0
    picture = linear.T.reshape(*seen.shape, 3)
    shown = developed(rng, picture)
    if chance(rng, lines):
        shown = shown * outlines(rng, seen)[..., None]
    return photographed(rng, shown)


def developed(rng: Generator, linear: Floats) -> Floats:
    """Exposure and a tone curve: (H, W, 3) display values, 0 to 1."""
    level = float(np.exp(np.log(linear.mean(axis=2)[::4, ::4] + 1e-3).mean()))
    bright = max(float(np.percentile(linear[::4, ::4], 95)), 1e-3)
    exposed = linear * np.float32(min(rng.uniform(0.2, 0.7) / max(level, 1e-3), 4 / bright))
    exposed = exposed * (1 + rng.normal(0, 0.07, 3) * (1.0, 0.5, 1.0)).astype(np.float32)
    kind = int(rng.integers(4))
    if kind == 0:
        mapped = 1 - np.exp(-exposed)
    elif kind == 1:
        mapped = exposed / (exposed + np.float32(0.7)) * np.float32(1.3)
    else:
        mapped = np.minimum(exposed, 1)
    gamma = float(rng.uniform(1.7, 2.5))
    return np.asarray(np.clip(mapped, 0, 1) ** np.float32(1 / gamma), np.float32)


def photographed(rng: Generator, shown: Floats) -> NDArray[np.uint8]:
    """Contrast, saturation, vignette, blur, grain and JPEG: (H, W, 3) uint8."""
    grey = shown.mean(axis=2, keepdims=True)
    saturation = float(
        rng.choice((0.0, 0.5, 1.0, 1.0, 1.0, 1.4), p=(0.06, 0.14, 0.2, 0.2, 0.2, 0.2))
    )
    out = grey + (shown - grey) * np.float32(saturation)
    out = (out - 0.5) * np.float32(rng.uniform(0.7, 1.25)) + np.float32(0.5 + rng.normal(0, 0.06))
    height, width, _ = out.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    out = out * (1 - np.float32(rng.uniform(0, 0.25)) * (x * x + y * y) / 2)[..., None]
    if chance(rng, 0.6):
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.1)))
    strength = float(rng.choice((0.0, 3.0, 9.0), p=(0.3, 0.5, 0.2))) * rng.random()
    grain = rng.standard_normal((height, width, 1 if chance(rng, 0.5) else 3), np.float32)
    pixels = np.clip(out * 255 + grain * np.float32(strength) + 0.5, 0, 255).astype(np.uint8)
    if chance(rng, 0.5):
        quality = int(rng.integers(25, 90))
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return pixels
