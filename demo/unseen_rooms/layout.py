"""Where things stand in a room, and places for the camera."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from demo.unseen_rooms import materials
from demo.unseen_rooms.furniture import Piece
from demo.unseen_rooms.materials import Array, Rng
from demo.unseen_rooms.shapes import box

MARGIN = 0.03  # metres between things


@dataclass(frozen=True, eq=False)
class Placed:
    piece: Piece
    matrix: Array  # (4, 4), from the piece's coordinates to the room's
    bounds: Array  # (2, 3)


@dataclass(eq=False)
class Room:
    """A box from (0, 0, 0) to `size`; walls go clockwise from the one at the largest y."""

    rng: Rng
    size: Array
    night: bool
    placed: list[Placed] = field(default_factory=list)
    taken: list[Array] = field(default_factory=list)  # bounds (2, 3) that must stay free
    holes: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    suns: list[tuple[Array, Array]] = field(default_factory=list)  # from, to

    @property
    def light(self) -> float:
        """Radiance of lamps: 0 where they are off."""
        return float(self.rng.uniform(7, 14)) if self.night else 0.0

    def wall_pose(self, wall: int, along: float, out: float = 0, z: float = 0) -> Array:
        """With its back to the wall, `along` it from its left end."""
        length, depth = self.size[:2] if wall % 2 == 0 else self.size[1::-1]
        local = pose(along - length / 2, depth / 2 - out, z=z)
        middle = pose(self.size[0] / 2, self.size[1] / 2)
        return np.asarray(middle @ pose(0, 0, -wall * np.pi / 2) @ local)

    def wall_length(self, wall: int) -> float:
        return float(self.size[wall % 2])

    def put(self, piece: Piece, matrix: Array, beside: tuple[Placed, ...] = ()) -> Placed | None:
        """None where it does not fit; it may come into the bounds of what it stands `beside`."""
        bounds = piece.moved(matrix).bounds()
        if (bounds[0] < -0.005).any() or (bounds[1] > self.size + 0.005).any():
            return None
        others = [other.bounds for other in self.placed if other not in beside]
        if piece.label != "rug" and any(overlap(bounds, other) for other in others + self.taken):
            return None
        placed = Placed(piece, matrix, bounds)
        if piece.label == "rug":
            bounds[1, 2] = 0  # stood upon
        self.placed.append(placed)
        return placed

    def against(
        self, piece: Piece, wall: int | None = None, z: float = 0, gap: float = 0.02
    ) -> Placed | None:
        """At a random place of that wall, or of any."""
        low, high = piece.bounds()
        for _ in range(40):
            side = int(self.rng.integers(4)) if wall is None else wall
            along = self.rng.uniform(-low[0], self.wall_length(side) - high[0])
            if placed := self.put(piece, self.wall_pose(side, along, high[1] + gap, z)):
                return placed
        return None

    def anywhere(self, piece: Piece, turn: float, edge: float) -> Placed | None:
        """On the floor, `edge` away from the walls."""
        for _ in range(40):
            x, y = self.rng.uniform(edge, np.maximum(self.size[:2] - edge, edge + 0.01))
            if placed := self.put(piece, pose(x, y, turn)):
                return placed
        return None

    def on_top(self, piece: Piece, below: Placed, share: float = 0.35) -> Placed | None:
        """On that table or shelf, away from its middle by up to `share` of its size."""
        low, high = below.piece.bounds()
        for _ in range(10):
            x, y = self.rng.uniform(-share, share, 2) * (high - low)[:2]
            turn = self.rng.uniform(-0.4, 0.4)
            matrix = below.matrix @ pose(x, y * 0.7 + (low + high)[1] / 2, turn, high[2] + 0.001)
            if placed := self.put(piece, matrix, (below,)):
                return placed
        return None


def pose(x: float, y: float, angle: float = 0, z: float = 0) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1]])


def overlap(one: Array, other: Array, margin: float = MARGIN) -> bool:
    grown = one + np.array([[-margin], [margin]]) * (1, 1, 0)
    return bool((grown[0] < other[1]).all() and (other[0] < grown[1]).all())


def hole(room: Room, wall: int, w: float, low: float, high: float, clear: float = 0.12) -> Array:
    """In the wall, kept `clear` of things; returns the pose of its middle on the floor."""
    along = float(room.rng.uniform(w / 2 + 0.3, room.wall_length(wall) - w / 2 - 0.3))
    room.holes.setdefault(wall, []).append((along - w / 2, along + w / 2, low, high))
    at = room.wall_pose(wall, along)
    guard = Piece(
        "", [(materials.plain(np.zeros(3)), box(w, clear, high - low, 0, -clear / 2, low))]
    )
    room.taken.append(guard.moved(at).bounds())
    return at


def views(room: Room, tries: int = 100) -> Iterator[tuple[Array, Array]]:
    """Places where a person could stand with a camera, and where it would point."""
    rng, size = room.rng, room.size
    body = np.array([[-0.3, -0.3, -1], [0.3, 0.3, 0.15]])
    middles = [placed.bounds.mean(axis=0) for placed in room.placed]
    for _ in range(tries):
        x, y = (_near_end(rng, length) for length in size[:2])
        eye = np.array([x, y, rng.uniform(1.15, 1.65)])
        share = rng.uniform(0.3, 0.8)  # from the room's middle towards one of its things
        target = share * middles[rng.integers(len(middles))] + (1 - share) * size / 2
        target[2] = rng.uniform(0.45, 1.0)
        free = not any(overlap(eye + body, placed.bounds) for placed in room.placed)
        if free and np.linalg.norm((target - eye)[:2]) > 1.6:
            yield eye, target


def _near_end(rng: Rng, length: float) -> float:
    off = rng.uniform(0.35, 0.3 * length)
    return float(off if rng.random() < 0.5 else length - off)
