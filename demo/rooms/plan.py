"""The ground plan of a room being furnished: what is where, and what still fits."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from demo.rooms.item import RUG, Item
from demo.rooms.materials import chance, pick
from demo.rooms.structure import Light, Shell, wall_frame

FREE = 0.04


_SIGNS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """An upright box that something takes up: middle (2,), half extents (2,), yaw, and heights."""

    centre: np.ndarray
    half: np.ndarray
    angle: float
    low: float
    high: float

    def axes(self) -> np.ndarray:
        """(2, 2) unit vectors along its sides, as rows."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, s], [-s, c]])

    def corners(self) -> np.ndarray:
        """(4, 2) corners of the ground plan."""
        return self.centre + (_SIGNS * self.half) @ self.axes()

    def touches(self, other: "Spot", margin: float = FREE) -> bool:
        """Whether the two boxes come nearer than `margin` (by the separating axis theorem)."""
        if self.low >= other.high - 1e-3 or other.low >= self.high - 1e-3:
            return False
        reach = float(np.hypot(*self.half) + np.hypot(*other.half)) + margin
        if float(np.hypot(*(self.centre - other.centre))) > reach:
            return False
        axes = np.concatenate([self.axes(), other.axes()]).T
        mine, theirs = self.corners() @ axes, other.corners() @ axes
        apart = (mine.max(0) + margin <= theirs.min(0)) | (theirs.max(0) + margin <= mine.min(0))
        return not bool(apart.any())


def spot_of(item: Item, x: float, y: float, angle: float, z: float = 0.0) -> Spot:
    """The box that an item takes up when placed at (x, y, z) with the yaw `angle`."""
    low, high = item.bounds()
    c, s = np.cos(angle), np.sin(angle)
    mid = (low[:2] + high[:2]) / 2
    centre = np.array([x + c * mid[0] - s * mid[1], y + s * mid[0] + c * mid[1]])
    return Spot(centre, (high[:2] - low[:2]) / 2, angle, z + float(low[2]), z + float(high[2]))


@dataclass
class Plan:
    """A room being furnished."""

    rng: Generator
    shell: Shell
    lit: bool
    items: list[Item] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    furniture: int = 0

    def __post_init__(self) -> None:
        for o in self.shell.openings:
            start, _, angle = wall_frame(self.shell.size, o.wall)
            middle, half = (o.left + o.right) / 2, (o.right - o.left) / 2
            deep = 0.45 if o.kind == "door" else 0.1
            wide = half + (0.05 if o.kind == "door" else 0.12)
            c, s = np.cos(angle), np.sin(angle)
            centre = start[:2] + np.array([c * middle - s * deep, s * middle + c * deep])
            self.spots.append(Spot(centre, np.array([wide, deep]), angle, o.low, o.high + 0.1))

    def fits(self, spot: Spot, ignore: tuple[Spot, ...] = (), margin: float = FREE) -> bool:
        """Whether the spot is inside the room and free."""
        corners = spot.corners()
        x, y, z = self.shell.size
        if (
            corners.min() < 0.015
            or corners[:, 0].max() > x - 0.015
            or corners[:, 1].max() > y - 0.015
        ):
            return False
        if spot.high > z + 1e-3:
            return False
        return not any(spot.touches(s, margin) for s in self.spots if s not in ignore)

    def put(
        self,
        item: Item,
        x: float,
        y: float,
        angle: float,
        z: float = 0.0,
        ignore: tuple[Spot, ...] = (),
        counts: bool = True,
    ) -> Spot | None:
        """Places the item if there is room, and says which spot it takes."""
        spot = spot_of(item, x, y, angle, z)
        if item.label != RUG:
            if not self.fits(spot, ignore):
                return None
            self.spots.append(spot)
        self.items.append(item.placed((x, y, z), angle))
        self.furniture += counts
        return spot

    def against_wall(
        self, item: Item, gap: float = 0.03, z: float = 0.0, tries: int = 14, counts: bool = True
    ) -> tuple[float, float, float] | None:
        """Places the item with its back to some wall; (x, y, yaw) or None without room."""
        low, high = item.bounds()
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            start, length, angle = wall_frame(self.shell.size, wall)
            left, right = float(-low[0]) + 0.05, length - float(high[0]) - 0.05
            if left >= right:
                continue
            along = float(self.rng.uniform(left, right))
            if chance(self.rng, 0.3):
                along = pick(self.rng, (left, right))
            c, s = np.cos(angle), np.sin(angle)
            off = gap - float(low[1])
            x = float(start[0] + c * along - s * off)
            y = float(start[1] + s * along + c * off)
            if self.put(item, x, y, angle, z, counts=counts) is not None:
                return x, y, angle
        return None

    def near(
        self, x: float, y: float, angle: float, forward: float, aside: float
    ) -> tuple[float, float]:
        """The point `forward` and `aside` (to its right) of something at (x, y) with that yaw."""
        c, s = np.cos(angle), np.sin(angle)
        return x + c * aside - s * forward, y + s * aside + c * forward
