"""Where a person would stand with a camera, and the rays of its pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from demo.rooms.geometry import Floats
from demo.rooms.item import CEILING, CHAIR, FLOOR, PICTURE, RUG, WALL, WINDOW, Item
from demo.rooms.materials import chance
from demo.rooms.plan import Plan
from demo.rooms.scene import Scene, hits

_BACKDROP = (0, WALL, FLOOR, CEILING, WINDOW, PICTURE, RUG)
CANDIDATES = 20
PREVIEW = (36, 48)


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole at `position` (3,) with the rows right, down and forward of `axes` (3, 3).

    `spread` is the tangent of half the angle of view along the longer side of the image.
    """

    position: Floats
    axes: Floats
    spread: float


def rays(camera: Camera, height: int, width: int) -> Floats:
    """(3, height * width) unit directions through the pixel centres, row by row."""
    scale = 2 * camera.spread / max(height, width)
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)) * np.float32(scale)
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)) * np.float32(scale)
    right, down, forward = camera.axes[:, :, None]
    found: Floats = (down[..., None] * y[:, None] + forward[..., None]) + right[..., None] * x
    found /= np.sqrt(1 + y[:, None] ** 2 + x**2)
    return found.reshape(3, -1)


def origins(camera: Camera, count: int) -> Floats:
    """(3, count) copies of the camera's position, without the memory."""
    return np.broadcast_to(camera.position[:, None], (3, count))


def look(
    position: np.ndarray, towards: np.ndarray, slope: float, tilt: float, spread: float
) -> Camera:
    """A camera at `position` (3,) that looks at the plan's point `towards` (2,).

    It is pitched by `slope` radians (down is negative), its horizon turned by `tilt` radians.
    """
    heading = np.arctan2(*(towards - position[:2])[::-1])
    forward = np.array(
        [np.cos(heading) * np.cos(slope), np.sin(heading) * np.cos(slope), np.sin(slope)]
    )
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(tilt), np.sin(tilt)
    axes = np.stack([c * right + s * down, c * down - s * right, forward])
    return Camera(position.astype(np.float32), axes.astype(np.float32), spread)


def _stand(rng: Generator, size: tuple[float, float, float]) -> np.ndarray:
    """A place to stand: mostly a corner, else along a wall, now and then inside the room."""
    x, y, _ = size
    where = rng.random()
    inset = rng.uniform(0.12, 0.45, 2)
    spot = np.array(
        [
            inset[0] if chance(rng, 0.5) else x - inset[0],
            inset[1] if chance(rng, 0.5) else y - inset[1],
        ]
    )
    if where > 0.5:
        axis = int(rng.integers(2))
        spot[axis] = rng.uniform(0.3, size[axis] - 0.3)
    if where > 0.85:
        spot = rng.uniform((x * 0.15, y * 0.15), (x * 0.85, y * 0.85))
    return spot


def _room_to_stand(plan: Plan, spot: np.ndarray, eye: float) -> bool:
    for s in plan.spots:
        if s.low > eye + 0.3 or s.high < 0.2:
            continue
        c, n = np.cos(s.angle), np.sin(s.angle)
        d = spot - s.centre
        local = np.abs([c * d[0] + n * d[1], -n * d[0] + c * d[1]])
        is_gap = s.low == 0.0 and abs(s.high - 2.12) < 1e-6
        if not is_gap and bool((local < s.half + (0.5 if s.high > 0.6 else 0.3)).all()):
            return False
    return True


def _score(
    rng: Generator, scene: Scene, camera: Camera, labels: np.ndarray, aspect: float
) -> float:
    """How good a picture this would be, from a small preview of it."""
    height, width = PREVIEW
    height = round(width * aspect) if aspect < 1 else height
    width = width if aspect < 1 else round(height / aspect)
    directions = rays(camera, height, width)
    found = hits(scene, origins(camera, height * width), directions)
    owner = scene.owner[found["primID"]]
    share = np.bincount(owner, minlength=len(labels)) / len(owner)
    things = ~np.isin(labels, _BACKDROP)
    chairs = labels == CHAIR
    near = float((found["tfar"] < 1.0).mean())
    score = float(np.minimum(share[things], 0.08).sum()) + 0.07 * float(
        (share[things] > 0.006).sum()
    )
    score += 1.0 * float(np.minimum(share[chairs], 0.07).sum())
    score += 0.09 * float(((share[chairs] > 0.02) & (share[chairs] < 0.16)).sum())
    score -= 0.03 * float(((share[chairs] > 0.0) & (share[chairs] < 0.012)).sum())
    score -= 3.0 * max(0.0, float(share[things].max(initial=0.0)) - 0.22) + 4.0 * near
    score -= 1.0 * max(0.0, float(share[labels == WALL].sum()) - 0.35)
    score -= 0.5 * max(0.0, float(share[labels == FLOOR].sum()) - 0.4)
    return score + float(rng.normal(0, 0.04))


def choose(rng: Generator, plan: Plan, scene: Scene, aspect: float) -> Camera:
    """The best of some views that a person might take; `aspect` is height / width."""
    size = plan.shell.size
    labels = np.array([item.label for item in scene.items])
    centres = {label: _centres(plan.items, label == CHAIR) for label in (CHAIR, 0)}
    best: tuple[float, Camera] | None = None
    for attempt in range(60):
        eye = float(rng.uniform(1.2, 1.8))
        spot = _stand(rng, size)
        targets = centres[CHAIR] if len(centres[CHAIR]) and chance(rng, 0.6) else centres[0]
        middle = targets[int(rng.integers(len(targets)))] if chance(rng, 0.5) else targets.mean(0)
        target = middle * 0.6 + centres[0].mean(0) * 0.4 + rng.normal(0, 0.2, 3)
        spread = float(np.tan(np.radians(rng.uniform(50, 72)) / 2))
        tilt, slope = (
            float(rng.normal(0, 0.012)),
            float(np.clip(rng.normal(-0.22, 0.07), -0.38, 0.0)),
        )
        if not _room_to_stand(plan, spot, eye) and attempt < 50:
            continue
        if np.linalg.norm(target[:2] - spot) < 1.2:
            continue
        camera = look(np.array([spot[0], spot[1], eye]), target[:2], slope, tilt, spread)
        score = _score(rng, scene, camera, labels, aspect)
        if best is None or score > best[0]:
            best = score, camera
        if attempt >= CANDIDATES and best[0] > 0.2:
            break
    if best is None:
        return look(
            np.array([0.3, 0.3, 1.5]), np.array([size[0] / 2, size[1] / 2]), -0.2, 0.0, 0.65
        )
    return best[1]


def wander(rng: Generator, plan: Plan, scene: Scene, aspect: float) -> Camera:
    """A view that a person would seldom take: any height, lens and tilt; the better of a few.

    Pieces of every class are looked at alike, rugs and lamps too; `aspect` is height / width.
    """
    size = plan.shell.size
    labels = np.array([item.label for item in scene.items])
    things = [item for item in plan.items if item.label]
    best: tuple[float, Camera] | None = None
    wanted = int(rng.integers(1, 6))
    for attempt in range(40):
        spot, eye = _stand(rng, size), float(rng.uniform(0.7, 2.2))
        kinds = [item.label for item in things]
        weights = np.array([1 / kinds.count(k) for k in kinds])
        item = things[int(rng.choice(len(things), p=weights / weights.sum()))]
        low, high = item.bounds()
        target = (low + high) / 2 + rng.normal(0, 0.35, 3)
        away = target - np.array([*spot, eye])
        distance = float(np.hypot(*away[:2]))
        if distance < 0.8 or (not _room_to_stand(plan, spot, eye) and attempt < 30):
            continue
        slope = float(np.clip(np.arctan2(away[2], distance), -0.7, 0.3))
        slope = slope * 0.6 + float(rng.normal(-0.08, 0.06))
        spread = float(np.tan(np.radians(rng.uniform(38, 85)) / 2))
        view = look(np.array([*spot, eye]), target[:2], slope, float(rng.normal(0, 0.04)), spread)
        score = _score(rng, scene, view, labels, aspect)
        if best is None or score > best[0]:
            best = score, view
        wanted -= 1
        if wanted <= 0 and best[0] > 0.1:
            break
    return choose(rng, plan, scene, aspect) if best is None else best[1]


def _centres(items: list[Item], chairs_only: bool) -> np.ndarray:
    """(N, 3) middles of the furniture that is worth a picture."""
    found = []
    for item in items:
        if (item.label == CHAIR) if chairs_only else item.label not in _BACKDROP:
            low, high = item.bounds()
            found.append((low + high) / 2)
    if not found:
        return np.zeros((0, 3)) if chairs_only else np.array([[1.5, 1.5, 0.6]])
    return np.asarray(found, float)
