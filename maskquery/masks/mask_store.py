"""masks.zarr and predictions.zarr: packed bits in, packed bits out, many images to a file.

A store is a folder of at most 256 zip files, `{first two hex digits of sha256(image)}.zip`. Each is
a Zarr v3 store with one group per image, named `group_name(image)`, and opens with plain zarr:

    shard = zarr.open_group(zarr.storage.ZipStore("data/masks.zarr/61.zip", mode="r"), mode="r")
    packed = shard["room-000"]["masks"][:]                        # (N, H, ceil(W / 8)) uint8
    masks = numpy.unpackbits(packed, axis=-1, count=width).view(bool)     # (N, H, W)

Why zip files and not Zarr's own sharding: images differ in size and in number of masks, while a
sharded array is one rectangle, so that stacks had to be padded and found by row numbers kept beside
it; a group in a zip keeps its own shape. And a shard of seven sharded arrays is 15 files where a
zip is one, and DVC's time grows with the number of files (see `benchmarks/mask_store.py`).
"""

import hashlib
import itertools
import json
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

import numpy.typing as npt

from maskquery.core import files
from maskquery.core.errors import UserError
from maskquery.masks import zarr_zip
from maskquery.masks.packed import (
    DTYPES,
    MASK_ARRAYS,
    PREDICTION_ARRAYS,
    ImageMasks,
    ImagePredictions,
    Json,
    MaskColumns,
    check,
)

_ALLOWED = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

OPEN_SHARDS = 256 if _ALLOWED < 0 else min(256, _ALLOWED // 2)
"""Files that a store keeps open: all of them, where the system lets a process have twice as many.

To open one again means to read its list of entries again.
"""

MASKS_LEVEL = 9
"""Of zstd. Masks are made once, and this is little of their time."""

PREDICTIONS_LEVEL = 1
"""Predictions are made with every threshold: a fifth of the time, for a tenth more bytes."""

_ROOT = {"format": "retrieval masks 1"}
_SIZE = {"image": str, "height": int, "width": int}


@dataclass(frozen=True)
class Encoded:
    """One image's group as bytes, compressed already; see `encode` and `decode`."""

    image: str
    entries: dict[str, bytes]

    def length(self, array: str) -> int:
        """How many rows one of its arrays has: N."""
        return int(json.loads(self.entries[f"{array}/zarr.json"])["shape"][0])


Group = ImageMasks | ImagePredictions | Encoded
G = TypeVar("G", ImageMasks, ImagePredictions)
T = TypeVar("T")


def shard_of(image: str) -> str:
    """Two hex digits, from the id alone: which of the 256 files an image stands in."""
    return hashlib.sha256(image.encode()).hexdigest()[:2]


def shard_order(images: Iterable[str]) -> list[str]:
    """The ids in the order in which `write` takes them and `Store` reads them fastest."""
    return sorted(images, key=lambda image: (shard_of(image), image))


def group_name(image: str) -> str:
    """The image's id as a Zarr node name: percent-encoded; `urllib.parse.unquote` undoes it."""
    name = quote(image, safe="")
    if name.startswith((".", "__")) or name == "zarr.json":  # reserved in Zarr v3
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return name


def write(folder: Path, groups: Iterable[Group]) -> int:
    """Make `folder` a store of exactly `groups`, in one step at the end; their number.

    One file's images, compressed, are in memory at a time.

    Args:
        folder: replaced as a whole, never changed in place (see `maskquery.core.files`).
        groups: in `shard_order`.

    Raises:
        ValueError: images out of order or given twice, or arrays whose shapes or dtypes do not fit.
    """
    count, done = 0, ""
    with files.replacing_folder(folder) as temporary:
        for name, members in itertools.groupby(groups, key=lambda group: shard_of(group.image)):
            if name <= done:
                raise ValueError(f"images must come in shard_order; shard {name} came after {done}")
            shard = _encode(members)
            (temporary / f"{name}.zip").write_bytes(zarr_zip.encode(shard, _ROOT))
            count, done = count + len(shard), name
    return count


def encode(group: Group) -> bytes:
    """A single image as a file's bytes, to be read with `Shard`: what a cache of images keeps."""
    return zarr_zip.encode(_encode([group]), _ROOT)


def decode(data: bytes, image: str) -> Encoded:
    """What `encode` made, as the group of `image`, whatever the image was called then.

    Nothing is checked here: the bytes are known to be those that were encoded.
    """
    (entries,) = zarr_zip.decode(data).values()
    attributes = zarr_zip.attributes_of(entries)
    return Encoded(image, zarr_zip.with_attributes(entries, {**attributes, "image": image}))


def _encode(groups: Iterable[Group]) -> dict[str, dict[str, bytes]]:
    encoded: dict[str, dict[str, bytes]] = {}
    for group in groups:
        name = group_name(group.image)
        if name in encoded:
            raise ValueError(f"the image {group.image!r} is given twice")
        if isinstance(group, Encoded):
            encoded[name] = group.entries
        else:
            encoded[name] = zarr_zip.encode_group(_zarr_group(group))
    return encoded


def _zarr_group(group: ImageMasks | ImagePredictions) -> zarr_zip.Group:
    check(group)
    own: dict[str, Json] = {"image": group.image, "height": group.height, "width": group.width}
    if isinstance(group, ImageMasks):
        arrays = {name: getattr(group, name) for name in MASK_ARRAYS}
        return zarr_zip.Group({**group.attributes, **own}, arrays, MASKS_LEVEL)
    own |= {"classes": list(group.classes)}
    own |= {"mask_count": group.mask_count, "chosen": list(group.chosen)}
    arrays = {name: getattr(group, name) for name in PREDICTION_ARRAYS}
    return zarr_zip.Group(own, arrays, PREDICTIONS_LEVEL)


class Shard:
    """One file of a store. Methods raise `UserError`, naming file and image, for damaged bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = zarr_zip.Reader(path)
            if self._reader.attributes() != _ROOT:
                raise zarr_zip.DamagedError(f"not of the format {_ROOT['format']!r}")
            self._images = {unquote(name) for name in self._reader.groups()}
        except FileNotFoundError:
            raise UserError(f"{path} is missing: run `dvc repro`") from None
        except zarr_zip.DamagedError as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def images(self) -> list[str]:
        """The ids of the images in this file, sorted."""
        return sorted(self._images)

    def attributes(self, image: str) -> dict[str, Any]:
        """The Zarr attributes of an image's group, "image", "height" and "width" among them."""
        if image not in self._images:
            raise UserError(f"{self.path} holds no image {image!r}: run `dvc repro`")
        attributes = self._guard(image, lambda: self._reader.attributes(group_name(image)))
        if attributes.get("image") != image or any(
            type(attributes.get(key)) is not kind for key, kind in _SIZE.items()
        ):
            raise self._damaged("its attributes do not fit", image)
        return attributes

    def array(self, image: str, name: str) -> npt.NDArray[Any]:
        """One of an image's arrays, by the name it has in `ImageMasks`; no other array is read."""
        return self._guard(image, lambda: self._reader.array(group_name(image), name, DTYPES[name]))

    def read(self, image: str) -> ImageMasks:
        """All of an image's masks."""
        attributes = self.attributes(image)
        fields: dict[str, Any] = {key: attributes.pop(key) for key in _SIZE}
        fields |= {name: self.array(image, name) for name in MASK_ARRAYS}
        return self._checked(ImageMasks(**fields, attributes=attributes))

    def columns(self, image: str) -> MaskColumns:
        """What is known of an image's masks, which themselves are not read."""
        self.attributes(image)
        arrays = {name: self.array(image, name) for name in MASK_ARRAYS if name != "masks"}
        return MaskColumns(image, **arrays)

    def read_predictions(self, image: str) -> ImagePredictions:
        """The planes of an image's classes."""
        attributes = self.attributes(image)
        try:
            group = ImagePredictions(
                **{key: attributes[key] for key in _SIZE},
                classes=tuple(attributes["classes"]),
                masks=self.array(image, "masks"),
                ids=self.array(image, "ids"),
                scores=self.array(image, "scores"),
                mask_count=attributes["mask_count"],
                chosen=tuple(attributes["chosen"]),
            )
        except (KeyError, TypeError):
            raise self._damaged("it holds no predictions", image) from None
        return self._checked(group)

    def _checked(self, group: G) -> G:
        try:
            check(group)
        except ValueError as error:
            raise self._damaged(error, group.image) from None
        return group

    def _guard(self, image: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except zarr_zip.DamagedError as error:
            raise self._damaged(error, image) from None

    def _damaged(self, what: object, image: str = "") -> UserError:
        where = f"{self.path}, image {image!r}" if image else f"{self.path}"
        return UserError(
            f"{where} cannot be read ({what}): delete {self.path.parent} and run `dvc repro`"
        )


class Store:
    """A store to read from; its methods raise `UserError` as those of `Shard` do.

    The files last used are kept open: go through the images in `shard_order` where the order is
    free.
    """

    def __init__(self, folder: Path) -> None:
        """Look up which images there are.

        Raises:
            UserError: there is no such folder, or no image in it.
        """
        self.folder = folder
        self._open: OrderedDict[Path, Shard] = OrderedDict()
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.glob("[0-9a-f][0-9a-f].zip")):
            self._paths |= dict.fromkeys(self._shard(path).images(), path)
        if not self._paths:
            raise UserError(f"{folder} holds no images: run `dvc repro`")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; a later read opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def images(self) -> list[str]:
        """The ids of all images, sorted."""
        return sorted(self._paths)

    def attributes(self, image: str) -> dict[str, Any]:
        """As `Shard.attributes`."""
        return self._of(image).attributes(image)

    def array(self, image: str, name: str) -> npt.NDArray[Any]:
        """As `Shard.array`."""
        return self._of(image).array(image, name)

    def read(self, image: str) -> ImageMasks:
        """As `Shard.read`."""
        return self._of(image).read(image)

    def columns(self, image: str) -> MaskColumns:
        """As `Shard.columns`."""
        return self._of(image).columns(image)

    def read_predictions(self, image: str) -> ImagePredictions:
        """As `Shard.read_predictions`."""
        return self._of(image).read_predictions(image)

    def _of(self, image: str) -> Shard:
        if image not in self._paths:
            raise UserError(f"{self.folder} holds no image {image!r}: run `dvc repro`")
        return self._shard(self._paths[image])

    def _shard(self, path: Path) -> Shard:
        shard = self._open.pop(path, None) or Shard(path)
        self._open[path] = shard
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1].close()
        return shard
