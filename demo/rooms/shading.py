"""Light on the hits of primary rays: direct light with soft shadows, and one bounce."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from demo.rooms import textures
from demo.rooms.camera import Camera, origins, rays
from demo.rooms.geometry import Floats
from demo.rooms.scene import Scene, blocked, first, hits
from demo.rooms.structure import Light

# Neighbouring pixels take different samples of a light or of the hemisphere, one of each of
# TILE ** 2 strata in every TILE x TILE block; a filter of that size over one surface then shares
# them out. Which of SHIFTS places within the strata a block takes differs from block to block.
TILE = 4
SHIFTS = 4
_LIFT = np.float32(2e-3)


def _dot(a: Floats, b: Floats) -> Floats:
    found: Floats = a[0] * b[0]
    found += a[1] * b[1]
    found += a[2] * b[2]
    return found


def _phases(height: int, width: int) -> NDArray[np.int32]:
    """(H * W,) which of the samples of `_square` each pixel takes."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.int32)
    shift = np.random.default_rng(0).integers(SHIFTS, size=(16, 16), dtype=np.int32)
    pattern = np.tile(order, (16, 16)) + TILE**2 * shift.repeat(TILE, 0).repeat(TILE, 1)
    rows, columns = pattern.shape
    tiled = np.tile(pattern, (height // rows + 1, width // columns + 1))
    return np.ascontiguousarray(tiled[:height, :width]).ravel()


def _square(rng: Generator) -> Floats:
    """(2, SHIFTS * TILE ** 2) samples of the unit square, TILE ** 2 strata for each shift."""
    k = np.tile(np.arange(TILE**2), SHIFTS)
    shift = (np.repeat(np.arange(SHIFTS), TILE**2) + k * 7 // 3) % SHIFTS
    inner = rng.uniform(0.3, 0.7)
    u = (k % TILE + (shift % 2 + inner) / 2) / TILE
    v = (k // TILE + (shift // 2 + inner) / 2) / TILE
    return np.stack([u, v]).astype(np.float32)


def _sphere_samples(rng: Generator) -> Floats:
    """(3, S) even directions; added to a normal they are cosine-distributed about it."""
    u, v = _square(rng)
    z = 1 - 2 * u
    angle = 2 * np.pi * (v + rng.random())
    r = np.sqrt(1 - z * z)
    points = np.stack([r * np.cos(angle), r * np.sin(angle), z])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.ascontiguousarray(turn @ points * 0.98, np.float32)


def _light_samples(rng: Generator, light: Light) -> Floats:
    """(3, S) points on the light, even over its area."""
    centre = light.centre[:, None]
    if light.u is None or light.v is None:
        return centre + np.float32(light.radius) * _sphere_samples(rng)
    u, v = _square(rng) * 2 - 1
    return centre + light.u[:, None] * u + light.v[:, None] * v


def _shared(
    values: Floats, patch: NDArray[np.int32], across: bool, shares: dict[int, float]
) -> Floats:
    """Weighted mean along rows or columns, over pixels of the same patch only.

    `values` (C, H, W), `patch` (H, W); `shares` is the weight of the pixels so many steps away.
    """
    total = values.copy()
    weight = np.ones(patch.shape, np.float32)
    length = patch.shape[1 if across else 0]
    for step, share in shares.items():
        low, high = slice(0, length - step), slice(step, length)
        a = (..., low) if across else (..., low, slice(None))
        b = (..., high) if across else (..., high, slice(None))
        same = (patch[a] == patch[b]).astype(np.float32)
        same *= np.float32(share)
        total[a] += values[b] * same
        total[b] += values[a] * same
        weight[a] += same
        weight[b] += same
    total /= weight
    return total


def _smoothed(values: Floats, patch: NDArray[np.int32], blocks: int) -> Floats:
    """(C, H, W) values shared out over TILE x TILE pixels of the same surface.

    With `blocks` > 1 the result is averaged again with that of the neighbouring blocks.
    """
    shares = {step: 1.0 if step < TILE // 2 else 0.5 for step in range(1, TILE // 2 + 1)}
    for level in range(blocks):
        steps = shares if level == 0 else {TILE * level: 1.0}
        values = _shared(_shared(values, patch, True, steps), patch, False, steps)
    return values


def _albedo(
    scene: Scene, material: NDArray[np.int32], u: Floats, v: Floats, pixel: Floats
) -> Floats:
    """(N, 3) linear reflectance, material by material."""
    order = np.argsort(material.astype(np.uint16), kind="stable")
    bounds = np.searchsorted(material[order], np.arange(len(scene.materials) + 1))
    out = np.empty((len(material), 3), np.float32)
    for k, m in enumerate(scene.materials):
        if bounds[k] == bounds[k + 1]:
            continue
        where = order[bounds[k] : bounds[k + 1]]
        out[where] = textures.colour(m, u[where], v[where], pixel[where])
    out *= out
    return out


def _direct(
    scene: Scene, light: Light, samples: Floats, points: Floats, normals: Floats
) -> tuple[Floats, Floats]:
    """(N,) share of the light's colour that arrives, and (3, N) unit vectors to it.

    `samples` (3, N or 1) are points on the light, `points` and `normals` (3, N).
    """
    to = samples - points
    square = _dot(to, to)
    distance = np.sqrt(square)
    to /= distance
    share = np.maximum(_dot(to, normals), 0)
    if light.normal is not None:
        share *= np.maximum(-(light.normal @ to), 0)
    share /= square + np.float32(0.15)
    if light.shadows:
        # A ray of no length costs next to nothing: the unlit side is not traced.
        distance *= np.where(share > 1e-4, np.float32(0.99), np.float32(0))
        share[blocked(scene, points, to, distance)] = 0
    return share, to


def _radiance(scene: Scene, ambient: float) -> Floats:
    """(3, T) rough light leaving each triangle, for the bounce: lit at its middle, with shadows."""
    normal = scene.normals.mean(axis=1)
    middle = (scene.corners.mean(axis=1) + normal * np.float32(0.01)).T
    first_, second = (
        np.array([getattr(m, f) for m in scene.materials], np.float32) ** 2
        for f in ("first", "second")
    )
    total = np.full(middle.shape, ambient, np.float32)
    for light in scene.lights:
        share, _ = _direct(scene, light, light.centre[:, None], middle, normal.T)
        total += light.colour[:, None] * share
    total += np.array([m.glow for m in scene.materials], np.float32)[scene.material]
    total *= ((first_ + second) / 2).T[:, scene.material]
    return np.minimum(total, np.float32(2.0))


def _surfaces(
    scene: Scene, triangle: NDArray[np.int32], b: Floats, c: Floats, directions: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Smooth and true normals (3, N), both towards the viewer, and texture coordinates u, v."""
    at = [np.take(row, triangle, mode="clip") for row in scene.shape]
    for k in range(5):
        at[k] += at[5 + k] * b
        at[k] += at[10 + k] * c
    normal, flat = np.stack(at[:3]), np.stack(at[15:])
    flat *= np.where(_dot(flat, directions) > 0, np.float32(-1), np.float32(1))
    scale = np.sqrt(_dot(normal, normal)) + np.float32(1e-12)
    normal /= np.where(_dot(normal, flat) < 0, -scale, scale)
    return normal, flat, at[3], at[4]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the camera's N = H * W rays have hit, before any light.

    `shape` (H, W); `directions`, `points`, `normal` (3, N) float32; `distance` (N,); `albedo`
    (N, 3) linear; `material`, `patch`, `owner` (N,) indices into the scene's; `missed` (N,).
    """

    shape: tuple[int, int]
    directions: Floats
    points: Floats
    normal: Floats
    distance: Floats
    albedo: Floats
    material: NDArray[np.int32]
    patch: NDArray[np.int32]
    owner: NDArray[np.int32]
    missed: NDArray[np.bool_]


def see(scene: Scene, camera: Camera, height: int, width: int) -> Seen:
    """The first hits of the camera's rays."""
    directions = rays(camera, height, width)
    found = hits(scene, origins(camera, height * width), directions)
    missed = found["primID"] < 0
    triangle, distance = np.maximum(found["primID"], 0), found["tfar"]
    distance[missed] = 10.0
    normal, flat, u, v = _surfaces(scene, triangle, found["u"], found["v"], directions)
    points = directions * distance + flat * _LIFT
    points += camera.position[:, None]
    slant = np.maximum(-_dot(flat, directions), np.float32(0.25))
    step = 2 * camera.spread / max(height, width)
    pixel = (distance / slant * np.float32(step)).astype(np.float32, copy=False)
    material = np.take(scene.material, triangle)
    albedo = _albedo(scene, material, u, v, pixel)
    return Seen(
        (height, width),
        directions,
        points,
        normal,
        distance,
        albedo,
        material,
        np.take(scene.patch, triangle),
        np.take(scene.owner, triangle),
        missed,
    )


def lit(rng: Generator, scene: Scene, seen: Seen, ambient: float) -> tuple[Floats, Floats, Floats]:
    """Light on what is seen: direct (3, N), of one bounce (3, N), and mirrored (N,)."""
    height, width = seen.shape
    patch = seen.patch.reshape(height, width)
    light = _arriving(
        rng,
        scene,
        seen.points,
        seen.normal,
        seen.directions,
        seen.material,
        (height, width),
        ambient,
    )
    direct = _smoothed(light[:4].reshape(4, height, width), patch, 1).reshape(4, -1)
    bounce = _smoothed(light[4:].reshape(3, height, width), patch, 2).reshape(3, -1)
    return direct[:3], bounce, direct[3]


def glowing(scene: Scene, seen: Seen) -> Floats:
    """(N,) the light that surfaces send out themselves."""
    glow = np.array([m.glow for m in scene.materials], np.float32)
    found: Floats = np.take(glow, seen.material)
    return found


def shade(
    rng: Generator, scene: Scene, camera: Camera, height: int, width: int, ambient: float
) -> tuple[Floats, NDArray[np.int32]]:
    """(H, W, 3) linear radiance as the camera sees it, and (H, W) the object seen or -1."""
    seen = see(scene, camera, height, width)
    direct, light, shine = lit(rng, scene, seen, ambient)
    light += direct
    light += glowing(scene, seen)
    out = seen.albedo.T * light + shine
    out[:, seen.missed] = 0
    owner = np.where(seen.missed, np.int32(-1), seen.owner)
    return out.T.reshape(height, width, 3), owner.reshape(height, width)


def _arriving(
    rng: Generator,
    scene: Scene,
    points: Floats,
    normal: Floats,
    directions: Floats,
    material: NDArray[np.int32],
    shape: tuple[int, int],
    ambient: float,
) -> Floats:
    """(7, N): direct irradiance (3), light mirrored to the viewer, the same of a bounce (3)."""
    phase = _phases(*shape)
    gloss = np.take(np.array([m.gloss for m in scene.materials], np.float32), material)
    mirror = directions - 2 * _dot(directions, normal) * normal
    total = np.zeros((7, len(phase)), np.float32)
    for light in scene.lights:
        samples = _light_samples(rng, light).astype(np.float32)
        share, to = _direct(scene, light, np.take(samples, phase, axis=1), points, normal)
        shine = np.maximum(_dot(mirror, to), 0)
        for _ in range(4):
            shine *= shine
        for k in range(3):
            total[k] += share * light.colour[k]
        shine *= share
        shine *= gloss
        total[3] += shine * light.colour.mean()
    struck = first(scene, points, normal + np.take(_sphere_samples(rng), phase, axis=1))
    around = _radiance(scene, ambient)
    for k in range(3):
        np.take(around[k], struck, mode="clip", out=total[4 + k])
    total[4:] += np.float32(ambient * 0.25)
    return total


def identify(scene: Scene, camera: Camera, height: int, width: int) -> NDArray[np.int32]:
    """(H, W) index of the object at each pixel's centre, -1 for none."""
    directions = rays(camera, height, width)
    triangle = first(scene, origins(camera, height * width), directions)
    owner = np.where(triangle < 0, np.int32(-1), scene.owner[np.maximum(triangle, 0)])
    return owner.reshape(height, width)


def developed(rng: Generator, light: Floats, samples: int) -> NDArray[np.uint8]:
    """The photograph: exposure, white balance, tone curve, vignette and grain; (H, W, 3) uint8."""
    rows, columns, _ = light.shape
    h, w = rows // samples, columns // samples
    level = float(np.exp(np.log(light.mean(axis=2)[::4, ::4] + 1e-3).mean()))
    bright = float(np.percentile(light[::4, ::4], 95))
    exposure = min(float(rng.uniform(0.3, 0.6)) / max(level, 1e-3), 2.4 / max(bright, 1e-3))
    balance = 1 + rng.normal(0, 0.035, 3) * (1.0, 0.5, 1.0)
    mapped = 1 - np.exp(-light * (exposure * balance).astype(np.float32))
    np.sqrt(mapped, out=mapped)
    if samples > 1:
        mapped = mapped.reshape(h, samples, w, samples, 3).mean(axis=(1, 3))
    y, x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    mapped *= (1 - np.float32(rng.uniform(0, 0.1)) * (x * x + y * y) / 2)[..., None]
    grain = rng.standard_normal((h, w), np.float32) * np.float32(rng.uniform(0.5, 3.5))
    return np.clip(mapped * 255 + grain[..., None] + 0.5, 0, 255).astype(np.uint8)
