"""Rooms as files: names, formats, and the command line that writes many."""

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from demo.rooms import PALETTE, Room, render, render_varied

# Every fourth training room has one of these sizes (width, height) instead of the usual one.
OTHER_SIZES = ((384, 512), (448, 448), (512, 288))
VARIED_FROM = 110_000  # training rooms of this seed and above are varied, see `render_varied`


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Writes a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        save(file)
    part.replace(path)


def is_varied(seed: int) -> bool:
    """Whether the training room of this seed is a varied one; others are as the demo's own."""
    return seed >= VARIED_FROM


def _image(pixels: np.ndarray, kind: str, quality: int = 0) -> Callable[[BinaryIO], object]:
    return partial(Image.fromarray(pixels).save, format=kind, quality=quality)


def _report_paths(out: Path, seed: int) -> tuple[Path, Path, Path]:
    return (
        out / "images" / f"room-{seed:03d}.jpg",
        out / "render_semantic" / f"room-{seed:03d}.jpg",
        out / "render_semantic_npy" / f"room-{seed:03d}.npy",
    )


def _training_paths(out: Path, seed: int) -> tuple[Path, Path, Path]:
    stem = f"{seed:08d}"
    return out / f"{stem}.jpg", out / f"{stem}.png", out / f"{stem}.json"


def _write_report(room: Room, out: Path) -> None:
    image, colours, labels = _report_paths(out, room.seed)
    table = np.array([PALETTE[k] for k in sorted(PALETTE)], np.uint8)
    _write(image, _image(room.image, "JPEG", quality=90))
    _write(colours, _image(table[room.labels], "JPEG", quality=90))
    _write(labels, lambda file: np.save(file, room.labels))


def _write_training(room: Room, out: Path) -> None:
    image, instances, objects = _training_paths(out, room.seed)
    ids = room.instances
    small = ids.astype(np.uint8) if ids.max() < 256 else ids
    text = json.dumps([record.as_json() for record in room.objects])
    _write(image, _image(room.image, "JPEG", quality=95))
    _write(instances, _image(small, "PNG"))
    _write(objects, lambda file: file.write(text.encode()))


def _size(seed: int, size: tuple[int, int], layout: str) -> tuple[int, int]:
    rng = np.random.default_rng((seed, 1))
    if layout == "training" and rng.random() < 0.25:
        return OTHER_SIZES[int(rng.integers(len(OTHER_SIZES)))]
    return size


def one(seed: int, out: Path, size: tuple[int, int], samples: int, layout: str) -> bool:
    """Renders and writes one room unless its files are there; whether it was rendered."""
    paths = (_report_paths if layout == "report" else _training_paths)(out, seed)
    if all(path.exists() for path in paths):
        return False
    width, height = _size(seed, size, layout)
    varied = layout == "training" and is_varied(seed)
    room = render_varied(seed, width, height) if varied else render(seed, width, height, samples)
    (_write_report if layout == "report" else _write_training)(room, out)
    return True


def _pair(text: str, mark: str) -> tuple[int, int]:
    first, second = text.split(mark)
    return int(first), int(second)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.rooms", description="Renders rooms into files."
    )
    parser.add_argument(
        "--seeds",
        required=True,
        type=partial(_pair, mark=":"),
        metavar="A:B",
        help="seeds from A up to, not including, B",
    )
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--size", default=(512, 384), type=partial(_pair, mark="x"), metavar="WxH")
    parser.add_argument("--samples", default=1, type=int, help="samples per pixel and axis")
    parser.add_argument("--workers", default=2, type=int)
    parser.add_argument("--layout", default="training", choices=("training", "report"))
    args = parser.parse_args()
    job = partial(one, out=args.out, size=args.size, samples=args.samples, layout=args.layout)
    seeds = range(*args.seeds)
    made = 0
    with get_context("spawn").Pool(args.workers) as pool:
        for done, new in enumerate(pool.imap_unordered(job, seeds, chunksize=4), 1):
            made += new
            if done % 100 == 0 or done == len(seeds):
                print(f"{done} of {len(seeds)} rooms, {made} rendered", flush=True)
