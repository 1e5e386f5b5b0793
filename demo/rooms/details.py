"""What comes with a group of furniture: small things on table tops, and lamps with their light."""

import numpy as np

from demo.rooms import clutter, lamps
from demo.rooms.item import Item
from demo.rooms.materials import chance
from demo.rooms.plan import Plan, Spot, spot_of
from demo.rooms.structure import Light


def strew(plan: Plan, item: Item, x: float, y: float, angle: float, count: int) -> None:
    """Small things on the top of a table already placed at (x, y)."""
    rng = plan.rng
    placed: list[Spot] = []
    low, high = furniture_bounds(item, x, y, angle)
    for _ in range(count * 2):
        if len(placed) >= count:
            return
        thing = clutter.clutter(rng) if chance(rng, 0.85) else lamps.table_lamp(rng, plan.lit)
        if thing.design == "table lamp" and count < 2:
            continue
        px = float(rng.uniform(low[0] + 0.15, high[0] - 0.15)) if high[0] - low[0] > 0.4 else 0.0
        py = float(rng.uniform(low[1] + 0.14, high[1] - 0.14)) if high[1] - low[1] > 0.35 else 0.0
        if "round" in item.design or any(m.corners.shape[0] == 40 for m in item.meshes[:1]):
            px, py = px * 0.65, py * 0.65
        wx, wy = plan.near(x, y, angle, py, px)
        spot = spot_of(thing, wx, wy, float(rng.uniform(0, 6.28)), float(high[2]))
        if any(spot.touches(s, 0.01) for s in placed) or not plan.fits(spot, margin=-0.02):
            continue
        placed.append(spot)
        plan.items.append(thing.placed((wx, wy, float(high[2])), spot.angle))


def furniture_bounds(item: Item, x: float, y: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a placed item in its own frame again."""
    points = np.concatenate([m.corners.reshape(-1, 3) for m in item.meshes])
    c, s = np.cos(angle), np.sin(angle)
    dx, dy = points[:, 0] - x, points[:, 1] - y
    local = np.stack([c * dx + s * dy, -s * dx + c * dy, points[:, 2]], 1)
    return local.min(0), local.max(0)


def lamp_over(plan: Plan, x: float, y: float, hang: bool) -> None:
    """The room's main lamp, and its light a little below."""
    rng, ceiling = plan.rng, plan.shell.size[2]
    item = (
        lamps.pendant(rng, ceiling, plan.lit)
        if hang
        else lamps.ceiling_lamp(rng, ceiling, plan.lit)
    )
    low = float(item.bounds()[0][2])
    plan.items.append(item.placed((x, y, 0)))
    spot = spot_of(item, 0, 0, 0)
    plan.spots.append(Spot(np.array([x, y]), spot.half, 0.0, low, ceiling))
    warm = np.array([1.0, float(rng.uniform(0.8, 0.95)), float(rng.uniform(0.6, 0.88))])
    power = 5.0 if plan.lit else 0.0
    if power:
        centre = np.array([x, y, low - 0.1], np.float32)
        plan.lights.append(Light(centre, (warm * power).astype(np.float32), radius=0.16))


def glow(plan: Plan, x: float, y: float, z: float) -> None:
    colour = np.array([1.0, 0.8, 0.55], np.float32) * (0.5 if plan.lit else 0.0)
    if plan.lit:
        plan.lights.append(Light(np.array([x, y, z], np.float32), colour, shadows=False))
