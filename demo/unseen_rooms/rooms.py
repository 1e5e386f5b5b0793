"""A room by its number: its name, its picture and its labels."""

from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.unseen_rooms import kinds, layout, rendering
from demo.unseen_rooms.materials import Array

NAMES = (
    "nothing", "wall", "floor", "ceiling", "window", "door", "chair", "table", "sofa", "bed",
    "shelf", "lamp", "plant", "picture", "rug", "television", "box",
)  # fmt: skip
LABELS = {name: label for label, name in enumerate(NAMES)}
BUILDING = ("nothing", "wall", "floor", "ceiling", "window", "door", "picture", "rug")
FEWEST, MOST = 4, 9  # pieces of furniture in view
SEEN = 0.004  # share of the picture from which on a piece counts
VIEWS = 24  # tried in a room: the fullest is taken, or another room if none will do


def room_name(number: int) -> str:
    """Rooms 16 to 31 are named for a calibration part, which a pattern can pick: unseen-5*."""
    return f"unseen-{number + 5000 if 16 <= number < 32 else number:03d}"


def render(number: int, samples: int) -> tuple[Image.Image, npt.NDArray[np.uint8]]:
    """Room `number`, the same one every time: (H, W, 3), and its labels (H, W)."""
    rng = np.random.default_rng([2026, number])
    while True:
        room = kinds.furnished(rng)
        scene = rendering.Scene(room)
        views = list(islice(layout.views(room), VIEWS))
        seen = [pieces_seen(scene, view) for view in views]
        if views and max(seen) >= FEWEST:
            view = views[int(np.argmax(seen))]
            labels = np.array([LABELS[name] for name in scene.labels], np.uint8)
            image = Image.fromarray(scene.picture(*view, samples))
            return image, labels[scene.owners(*view)]


def pieces_seen(scene: rendering.Scene, view: tuple[Array, Array]) -> int:
    """Pieces of furniture in view; 0 if they are too many, or one of them fills the picture."""
    owners = scene.owners(*view, shrink=8)
    numbers, counts = np.unique(owners, return_counts=True)
    shares = zip((scene.labels[number] for number in numbers), counts / owners.size, strict=True)
    things = [share for label, share in shares if label not in BUILDING and share > SEEN]
    return len(things) if len(things) <= MOST and max(things, default=0) < 0.3 else 0
