"""Crops for training the tiny CLIP, with the class and words that their masks' pixels earn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.captions import CLASS_NAMES
from demo.training_data import TrainingRoom, read_room
from maskquery.clip.crops import Cutter
from maskquery.clip.settings import Settings, View
from maskquery.clip.tiny import IMAGE_SIZE
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import mask_boxes, pack, unpack

VIEWS: tuple[View, ...] = ("crop", "blurred", "masked")
VIEW_SHARES = (0.42, 0.42, 0.16)
PADDINGS = (0.03, 0.1, 0.1, 0.17)
SMALLEST = 50  # pixels of a mask worth a crop
PURE, MIXED = 0.65, 0.4  # share of a mask's pixels for its class; below MIXED: background
STUFF_NAMES = ("wall", "floor", "ceiling", "background")
# How much more often than others the objects of a class are drawn.
WEIGHTS = {"wall": 0.3, "floor": 0.4, "ceiling": 0.3, "chair": 2.0, "rug": 1.5, "lamp": 1.5}


def blob(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A smooth random region of an image, such as a young SAM draws on walls."""
    small = rng.normal(size=(int(rng.integers(3, 8)), int(rng.integers(3, 8)))).astype(np.float32)
    field = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    spread = rng.uniform(0.05, 0.3) * max(shape)
    near = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * spread**2))
    mask: NDArray[np.bool_] = near * (1 + 0.5 * field) > 0.5
    return mask


def roughen(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """What is left of a mask at a quarter of the model's resolution, with an uncertain edge."""
    height, width = mask.shape
    low = (max(2, width // 8), max(2, height // 8))
    small = cv2.resize(mask.astype(np.float32), low, interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, 0.25, (low[1] // 2 + 1, low[0] // 2 + 1)).astype(np.float32)
    small = small + cv2.resize(noise, low, interpolation=cv2.INTER_LINEAR)
    rough = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    result: NDArray[np.bool_] = rough & grown
    return result


def draw_mask(
    instances: NDArray[np.uint16],
    ids: NDArray[np.int64],
    weights: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """A mask as the generator may make it: an object, a rough one, a part, two merged, a blob."""
    kind = rng.random()
    if kind < 0.07:
        return blob(instances.shape, rng)
    mask: NDArray[np.bool_] = instances == rng.choice(ids, p=weights)
    if kind < 0.3:
        return mask
    if kind < 0.65:
        return roughen(mask, rng)
    if kind < 0.75:
        return mask | (instances == rng.choice(ids))
    rows, columns = np.nonzero(mask)
    angle = rng.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    cut = np.zeros_like(mask)
    keep = along < np.quantile(along, rng.uniform(0.25, 0.75))
    cut[rows[keep], columns[keep]] = True
    return cut


def words_of(entry: dict[str, Any]) -> list[str]:
    """An object's main colour and material."""
    return [*entry["colours"][:1], *entry["materials"][:1]]


def classify(room: TrainingRoom, mask: NDArray[np.bool_]) -> tuple[str, list[str]] | None:
    """The class that most of a mask shows, with its object's words; None where it is undecided."""
    counts = np.bincount(room.instances[mask])
    shares: dict[str, float] = {}
    for number in np.flatnonzero(counts):
        name = room.objects[int(number)]["name"] if number else "background"
        name = name if name in CLASS_NAMES else "background"
        shares[name] = shares.get(name, 0.0) + counts[number] / counts.sum()
    if not shares:
        return None
    name = max(shares, key=lambda key: shares[key])
    if shares[name] < PURE:
        return ("background", []) if shares[name] < MIXED else None
    main = int(counts.argmax())
    if not main or name in STUFF_NAMES:
        return name, []
    entry = room.objects[main]
    return name, words_of(entry)


@dataclass
class Crops:
    """N crops (N, S, S, 3) uint8, their classes (N,) in CLASS_NAMES, and words true of them."""

    crops: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    words: list[list[str]]


def object_weights(kinds: list[str]) -> NDArray[np.float64]:
    """With what probability each object is drawn: classes alike, however often they come."""
    weights = np.array([WEIGHTS.get(k, 1.0) / kinds.count(k) for k in kinds])
    return weights / weights.sum()


class Examples:
    """Draws training crops with the class and words that their mask's pixels earn.

    Args:
        masks: a store of the tiny SAM's masks of some of the rooms.
    """

    def __init__(self, masks: Path | None) -> None:
        self.store = MaskStore(masks) if masks else None
        self.known = set(self.store.images()) if self.store else set()

    def draw(self, path: Path, count: int, rng: np.random.Generator) -> Crops:
        """Crops of a room: `count` of masks made up, and two of each that the SAM has made."""
        room = read_room(path)
        counts = np.bincount(room.instances.ravel())
        ids = np.flatnonzero(counts >= SMALLEST)
        ids = ids[ids > 0]
        masks: list[NDArray[np.bool_]] = []
        if self.store and path.stem in self.known:
            stored = self.store.read(path.stem)
            own = list(unpack(stored.masks, stored.width))
            masks += own + own
        if len(ids):
            weights = object_weights([room.objects[int(i)]["name"] for i in ids])
            masks += [draw_mask(room.instances, ids, weights, rng) for _ in range(count)]
        return self._cut(room, masks, rng)

    def _cut(
        self, room: TrainingRoom, masks: list[NDArray[np.bool_]], rng: np.random.Generator
    ) -> Crops:
        cutters = [Cutter(room.image, _settings(padding), IMAGE_SIZE) for padding in PADDINGS]
        found = Crops(np.zeros((len(masks), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8), np.array([]), [])
        classes: list[int] = []
        for mask in masks:
            label = classify(room, mask)
            if label is None or np.count_nonzero(mask) < SMALLEST:
                continue
            packed = pack(mask)
            box = mask_boxes(packed[None], mask.shape[1])[0]
            view = VIEWS[rng.choice(len(VIEWS), p=VIEW_SHARES)]
            cutter = cutters[rng.integers(len(cutters))]
            found.crops[len(classes)] = cutter(box, packed, view)
            classes.append(CLASS_NAMES.index(label[0]))
            found.words.append(label[1])
        return Crops(found.crops[: len(classes)], np.array(classes, np.uint8), found.words)


def _settings(padding: float) -> Settings:
    return Settings(
        tier="exact",
        views=("crop",),
        crop_padding=padding,
        crop_shape="pad",
        mirrored=False,
        clahe=0,
    )
