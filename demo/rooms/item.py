"""An object under construction: its shapes, their materials and the words that describe it."""

from dataclasses import dataclass, field

import numpy as np

from demo.rooms.geometry import Floats, Mesh, Point, transformed, yaw
from demo.rooms.materials import Material

WALL, FLOOR, CEILING, WINDOW, DOOR, CHAIR, TABLE, SOFA = range(1, 9)
BED, SHELF, LAMP, PLANT, PICTURE, RUG, TELEVISION, BOX = range(9, 17)
CLASSES: dict[int, str] = {
    0: "nothing", WALL: "wall", FLOOR: "floor", CEILING: "ceiling", WINDOW: "window",
    DOOR: "door", CHAIR: "chair", TABLE: "table", SOFA: "sofa", BED: "bed", SHELF: "shelf",
    LAMP: "lamp", PLANT: "plant", PICTURE: "picture", RUG: "rug", TELEVISION: "television",
    BOX: "box",
}  # fmt: skip


@dataclass
class Item:
    """One object in its own frame: it stands on z = 0 at the origin and faces +y.

    `label` is a key of CLASSES, `design` the name a person would give it ("office chair");
    `position` and `angle` are where `placed` has put its own frame.
    """

    label: int
    design: str
    meshes: list[Mesh] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    colours: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    position: Point = (0.0, 0.0, 0.0)
    angle: float = 0.0
    _known: tuple[Mesh, Floats, Floats] | None = field(default=None, repr=False)

    def add(self, part: str, material: Material, *meshes: Mesh) -> None:
        """Adds shapes of one material; an empty `part` is not mentioned in captions."""
        self.meshes += meshes
        self.materials += [material] * len(meshes)
        for word, known in (
            (part, self.parts),
            (material.colour if part else "", self.colours),
            (material.word if part else "", self.words),
        ):
            if word and word not in known:
                known.append(word)

    def bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (3,) of all shapes."""
        # Layout asks again for every place it tries; the shapes change seldom.
        if self._known is None or self._known[0] is not self.meshes[-1]:
            points = np.concatenate([m.corners.reshape(-1, 3) for m in self.meshes]).T.copy()
            self._known = self.meshes[-1], points.min(axis=1), points.max(axis=1)
        return self._known[1], self._known[2]

    def scaled(self, x: float, y: float, z: float) -> "Item":
        """The object stretched along its axes."""
        factor = np.array([x, y, z], np.float32)
        for i, m in enumerate(self.meshes):
            normals = m.normals / factor
            normals /= np.linalg.norm(normals, axis=2, keepdims=True) + 1e-12
            self.meshes[i] = Mesh(m.corners * factor, normals, m.coords, m.faces)
        return self

    def placed(self, position: Point, angle: float = 0.0) -> "Item":
        """The object turned by `angle` radians about z and moved to `position` (3,)."""
        turn = yaw(angle)
        self.meshes = [transformed(m, turn, position) for m in self.meshes]
        x, y, z = (float(v) for v in turn @ np.asarray(self.position) + np.asarray(position))
        self.position, self.angle = (x, y, z), self.angle + angle
        return self
