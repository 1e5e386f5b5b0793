"""Layouts for masks, measured: files, bytes per mask, milliseconds per image to write and to read.

    python -m benchmarks mask_store

Masks are random blobs with ragged outlines; images differ in size and in number of masks, as users'
images do. Compared are the project's store (a Zarr group per image in a zip per shard), Zarr's own
sharding (an array per shard, padded to the largest image, a Zarr shard file for each) and COCO RLE
(pycocotools, which has no place for float scores or points), all from packed bits to packed bits.
Shards are assigned by the same hash everywhere.
"""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from zarr.codecs import ZstdCodec

from benchmarks.measuring import Row
from maskquery.masks import mask_store
from maskquery.masks.packed import DTYPES, ImageMasks, Packed, image_masks, pack, unpack

IMAGES, MASKS, SIZE = 16, 80, 1024  # masks of an image, on average; longest side in pixels


def blob(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.bool_]:
    """(H, W) bool: a blob whose radius varies smoothly around it, and by a pixel or two besides."""
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.exp(rng.uniform(np.log(0.02), np.log(0.35))) * min(height, width)
    waves = sum(
        rng.normal(0, 0.25 / k) * np.cos(k * angles + rng.uniform(0, 6)) for k in range(1, 9)
    )
    radii = radius * (1 + waves) + rng.normal(0, 1, angles.shape)
    x = rng.uniform(0, width) + radii * np.cos(angles)
    y = rng.uniform(0, height) + radii * np.sin(angles) * rng.uniform(0.4, 1)
    image = Image.new("1", (width, height))
    ImageDraw.Draw(image).polygon(np.stack([x, y], axis=1).ravel().tolist(), fill=1)
    return np.asarray(image)


def synthetic(number: int, count: int, size: int) -> ImageMasks:
    """One image's masks, about `count` of them, sides between 3/4 of `size` and `size`."""
    rng = np.random.default_rng(number)
    height, width = (int(side) for side in rng.integers(size * 3 // 4, size, 2, endpoint=True))
    count = int(rng.integers(count // 2, count * 3 // 2, endpoint=True))
    packed = np.stack([pack(blob(rng, height, width)) for _ in range(count)])
    return image_masks(
        f"image_{number:05d}",
        width,
        packed,
        predicted_iou=rng.random(count),
        stability_score=rng.random(count),
        points=rng.random((count, 2)) * size,
    )


def write_zip(folder: Path, images: list[ImageMasks]) -> None:
    """The project's own store."""
    mask_store.MaskStore.write(folder, images)


def read_zip(folder: Path) -> dict[str, Packed]:
    """All masks by image."""
    with mask_store.MaskStore(folder) as store:
        return {image: store.read(image).masks for image in mask_store.shard_order(store.images())}


def write_sharded(folder: Path, images: list[ImageMasks]) -> None:
    """Zarr's sharding: for each shard and field an array whose rows are padded to the largest."""
    height = max(image.height for image in images)
    width8 = max(image.masks.shape[2] for image in images)
    shards = defaultdict(list)
    for image in images:
        shards[mask_store.shard_of(image.image)].append(image)
    for name, members in shards.items():
        rows = sum(len(image.ids) for image in members)
        sizes = {m.image: [len(m.ids), m.height, m.masks.shape[2]] for m in members}
        group = zarr.open_group(folder / name, mode="w", attributes={"images": sizes})
        padded = np.zeros((rows, height, width8), np.uint8)
        start = 0
        for image in members:
            padded[start : start + len(image.ids), : image.height, : image.masks.shape[2]] = (
                image.masks
            )
            start += len(image.ids)
        fields = {
            key: np.concatenate([getattr(m, key) for m in members])
            for key in DTYPES
            if key != "masks"
        }
        for key, array in {"masks": padded, **fields}.items():
            chunk = (min(8, rows), *array.shape[1:])
            shard = (-(-rows // chunk[0]) * chunk[0], *array.shape[1:])
            group.create_array(
                key, data=array, chunks=chunk, shards=shard,
                compressors=ZstdCodec(level=mask_store.MASKS_LEVEL),
            )  # fmt: skip


def read_sharded(folder: Path) -> dict[str, Packed]:
    """All masks by image; the other fields are read too."""
    results = {}
    for path in sorted(folder.iterdir()):
        group = zarr.open_group(path, mode="r")
        arrays = {key: np.asarray(group[key]) for key in DTYPES}
        sizes: Any = group.attrs["images"]
        start = 0
        for image, (count, height, width8) in sizes.items():
            results[image] = arrays["masks"][start : start + count, :height, :width8]
            start += count
    return results


def write_rle(folder: Path, images: list[ImageMasks]) -> None:
    """COCO's compressed RLE, a JSON file for each image, boxes and areas included."""
    folder.mkdir()
    for image in images:
        stack = unpack(image.masks, image.width).transpose(1, 2, 0)
        codes = coco.encode(np.asfortranarray(stack.view(np.uint8)))
        rows = [
            {"counts": code["counts"].decode(), "size": code["size"], "bbox": box, "area": area,
             "id": mask_id}
            for code, box, area, mask_id in zip(
                codes, image.boxes.tolist(), image.areas.tolist(), image.ids.tolist(), strict=True
            )
        ]  # fmt: skip
        (folder / f"{image.image}.json").write_text(json.dumps(rows, separators=(",", ":")))


def read_rle(folder: Path) -> dict[str, Packed]:
    """All masks by image."""
    results = {}
    for path in sorted(folder.iterdir()):
        codes = json.loads(path.read_text())
        stack = np.ascontiguousarray(coco.decode(codes).transpose(2, 0, 1))
        results[path.stem] = np.packbits(stack, axis=-1)
    return results


Layout = tuple[Callable[[Path, list[ImageMasks]], None], Callable[[Path], dict[str, Packed]]]
LAYOUTS: dict[str, Layout] = {
    "zip per shard": (write_zip, read_zip),
    "Zarr sharding": (write_sharded, read_sharded),
    "COCO RLE": (write_rle, read_rle),
}


def measure() -> Iterator[Row]:
    images = [synthetic(number, MASKS, SIZE) for number in range(IMAGES)]
    images.sort(key=lambda image: (mask_store.shard_of(image.image), image.image))
    count = sum(len(image.ids) for image in images)
    for name, (write, read) in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "store"
            start = time.perf_counter()
            write(folder, images)
            middle = time.perf_counter()
            results = read(folder)
            end = time.perf_counter()
            files = [path for path in folder.rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in files)
        if any(not np.array_equal(results[image.image], image.masks) for image in images):
            raise SystemExit(f"{name}: what was read is not what was written")
        ms = [round(1000 * each / len(images), 1) for each in (middle - start, end - middle)]
        yield Row(
            f"{name}: {len(images)} images, {count} masks, sides up to {SIZE} pixels",
            "-",
            f"{len(files)} files, {size / count:.0f} bytes per mask, "
            f"{ms[0]} ms per image to write, {ms[1]} ms to read",
            "-",
            {
                "files": len(files),
                "bytes_per_mask": round(size / count),
                "write_ms_per_image": ms[0],
                "read_ms_per_image": ms[1],
            },
        )
