"""Rendered rooms: furnished, lit and photographed by seed, with exact labels.

`render(seed)` gives one room; `python -m demo.rooms` writes many.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from demo.rooms import camera, layout, scene, shading, structure, styles, variety
from demo.rooms.item import CLASSES, Item
from demo.rooms.materials import chance, pick
from demo.rooms.plan import Plan

__all__ = ["CLASSES", "PALETTE", "Record", "Room", "render", "render_varied"]

# Far apart in RGB, so that labels survive JPEG.
PALETTE: dict[int, tuple[int, int, int]] = {
    0: (0, 0, 0), 1: (190, 190, 190), 2: (120, 80, 30), 3: (255, 255, 255), 4: (120, 220, 255),
    5: (140, 0, 60), 6: (255, 0, 0), 7: (0, 60, 255), 8: (255, 0, 255), 9: (130, 60, 255),
    10: (255, 140, 0), 11: (255, 255, 0), 12: (0, 180, 0), 13: (0, 255, 190), 14: (0, 110, 110),
    15: (80, 80, 80), 16: (170, 255, 80),
}  # fmt: skip

# With what probability a room has which groups of furniture.
_WITH_CHAIRS = (
    ("dining",),
    ("dining",),
    ("dining",),
    ("office",),
    ("office", "waiting"),
    ("living",),
    ("living",),
    ("living", "dining"),
    ("living", "dining"),
    ("living", "office"),
    ("bedroom",),
    ("bedroom", "office"),
    ("waiting",),
    ("dining", "office"),
    ("office", "office"),
)
_WITHOUT = (
    ("living",),
    ("living",),
    ("bedroom",),
    ("bedroom",),
    ("living", "bedroom"),
    ("dining",),
)
_SOFT = (("living",), ("bedroom",), ("living", "bedroom"), ("bedroom", "living"))
CHAIRLESS, SOFT = 0.2, 0.3  # SOFT: share of the varied rooms with a sofa or bed for certain


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a room.

    `id` its value in the instance map, `label` its class, `name` the class's name; `colours`,
    `materials`, `design` and `parts` are words for captions; `pixels` how many of them are seen.
    """

    id: int
    label: int
    name: str
    design: str
    colours: list[str]
    materials: list[str]
    parts: list[str]
    pixels: int

    def as_json(self) -> dict[str, object]:
        """The record as JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Room:
    """A photograph and its truth.

    `image` (H, W, 3) uint8 RGB; `instances` (H, W) uint16, 0 where there is nothing; `labels`
    (H, W) uint8, keys of CLASSES; `objects` one record per object in view, by id.
    """

    seed: int
    image: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    labels: NDArray[np.uint8]
    objects: list[Record]


def _furnished(rng: Generator, *, soft: bool = False) -> Plan:
    with_chairs = not chance(rng, CHAIRLESS)
    themes = list(pick(rng, _WITH_CHAIRS if with_chairs else _WITHOUT))
    if soft:
        themes = list(pick(rng, _SOFT))
    large = 0.9 if len(themes) > 1 else 0.0
    x, y = (float(v) + large for v in rng.uniform((3.4, 3.4), (5.0, 5.0)))
    size = (x, y, float(rng.uniform(2.4, 3.0)))
    day = float(pick(rng, (0.0, 0.4, 0.7, 1.0, 1.0)))
    shell = structure.build(rng, size, day)
    windows = any(light.shadows for light in shell.lights)
    lit = day < 0.5 or not windows or chance(rng, 0.35)
    return layout.furnish(rng, shell, lit, themes, with_chairs)


def render(seed: int, width: int = 512, height: int = 384, samples: int = 1) -> Room:
    """Renders the room of this seed.

    `samples` per axis smooth the image; instances and labels are those of the pixels' centres.
    The same arguments give the same bytes.
    """
    rng = default_rng(seed)
    plan = _furnished(rng)
    items = [*plan.shell.items, *plan.items]
    lights = _bright(plan.shell.lights, plan.lights)
    world = scene.assemble(items, lights)
    view = camera.choose(rng, plan, world, height / width)
    ambient = float(rng.uniform(0.10, 0.2))
    light, owner = shading.shade(rng, world, view, height * samples, width * samples, ambient)
    if samples > 1:
        owner = shading.identify(world, view, height, width)
    return _room(seed, shading.developed(rng, light, samples), owner, items)


def render_varied(seed: int, width: int = 512, height: int = 384) -> Room:
    """The room of this seed, for training: with other furniture in it, surfaces, light and camera.

    What the demo's rooms have in common shall not be what a model knows them by. The same
    arguments give the same bytes.
    """
    rng = default_rng((seed, 2))
    plan = _furnished(default_rng(seed), soft=chance(rng, SOFT))
    variety.vary(rng, plan)
    items = [*plan.shell.items, *plan.items]
    lights = variety.relit(rng, _bright(plan.shell.lights, plan.lights))
    world = scene.assemble(items, lights)
    view = camera.wander(rng, plan, world, height / width)
    seen = shading.see(world, view, height, width)
    image = styles.paint(rng, world, seen)
    owner = np.where(seen.missed, np.int32(-1), seen.owner).reshape(height, width)
    return _room(seed, image, owner, items)


def _room(seed: int, image: NDArray[np.uint8], owner: NDArray[np.int32], items: list[Item]) -> Room:
    labels = np.array([item.label for item in items] + [0], np.uint8)[owner]
    counts = np.bincount(owner.ravel() + 1, minlength=len(items) + 1)
    records = [
        _record(i, item, int(counts[i + 1])) for i, item in enumerate(items) if counts[i + 1]
    ]
    return Room(seed, image, (owner + 1).astype(np.uint16), labels, records)


def _bright(windows: list[structure.Light], lamps: list[structure.Light]) -> list[structure.Light]:
    """The lights worth their rays: the two strongest with shadows and two without."""
    strong = sorted((*windows, *lamps), key=lambda light: -float(light.colour.sum()))
    with_shadows = [light for light in strong if light.shadows and light.colour.sum() > 0.1]
    return with_shadows[:2] + [light for light in strong if not light.shadows][:2]


def _record(index: int, item: Item, pixels: int) -> Record:
    return Record(
        index + 1,
        item.label,
        CLASSES[item.label],
        item.design,
        item.colours,
        item.words,
        item.parts,
        pixels,
    )
