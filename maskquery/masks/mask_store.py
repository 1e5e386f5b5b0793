"""The stores masks.zarr and predictions.zarr: packed bits of many images in a few files.

A store is a folder of at most 256 zip files, `{first two hex digits of sha256(image)}.zip`. Each is
a Zarr v3 store with one group per image, named `group_name(image)`, and opens with plain zarr:

    shard = zarr.open_group(zarr.storage.ZipStore("data/masks.zarr/61.zip", mode="r"), mode="r")
    packed = shard["room-000"]["masks"][:]                        # (N, H, ceil(W / 8)) uint8
    masks = numpy.unpackbits(packed, axis=-1, count=width).view(bool)     # (N, H, W)

The folder is a Zarr group itself. Its attributes (`zarr.json`) are the manifest: the format, the
number of images, and for each zip file the number of its images and the sha256 of its directory,
which has the name, size and CRC-32 of every entry. So a missing, additional, foreign or damaged
file is noticed when the store is opened, and a damaged array when it is read.

Why zip files and not Zarr's sharding: a sharded array has one shape, while images differ in size
and in number of masks. Arrays would have to be padded, and their rows listed elsewhere; a group in
a zip file has its own shape. A shard of seven sharded arrays is also 15 files instead of one, and
DVC's time grows with the number of files (see `benchmarks/mask_store.py`).
"""

import functools
import hashlib
import itertools
import json
import resource
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar
from urllib.parse import quote, unquote

from maskquery.core import files
from maskquery.core.errors import UserError
from maskquery.masks import zarr_zip
from maskquery.masks.packed import (
    COLUMN_ARRAYS,
    DTYPES,
    MASK_ARRAYS,
    PREDICTION_ARRAYS,
    ImageMasks,
    ImagePredictions,
    Json,
    MaskColumns,
    check,
)
from maskquery.masks.zarr_zip import DamagedError, Read

_ALLOWED = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

OPEN_SHARDS = 256 if _ALLOWED < 0 else min(256, _ALLOWED // 2)
"""The most files that a store keeps open: all 256 if the system allows a process twice as many.

To reopen a file is to read its list of entries again.
"""

MASKS_LEVEL = 9
"""Of zstd. Compression is a small part of the time that masks take."""

PREDICTIONS_LEVEL = 1
"""Of zstd. A fifth of the time for a tenth more bytes, as every threshold writes predictions."""

MANIFEST = "zarr.json"

_CELL_NAME = "image"  # the group in a cell, which belongs to every image with these bytes
_SIZE = ("height", "width")


R = TypeVar("R", bound="ImageMasks | EncodedMasks | ImagePredictions")
D = TypeVar("D", MaskColumns, ImageMasks, ImagePredictions)


def shard_of(image: str) -> str:
    """Two hex digits, from the id only: which of the 256 files holds an image."""
    return hashlib.sha256(image.encode()).hexdigest()[:2]


def shard_order(images: Iterable[str]) -> list[str]:
    """Sort ids into the order in which a store is written, and read fastest."""
    return sorted(images, key=lambda image: (shard_of(image), image))


def group_name(image: str) -> str:
    """The image's id as a Zarr node name: percent-encoded; `urllib.parse.unquote` undoes it."""
    name = quote(image, safe="")
    if name.startswith((".", "__")) or name == "zarr.json":  # reserved in Zarr v3
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return name


@dataclass(frozen=True)
class EncodedMasks:
    """One image's masks as the compressed files of a Zarr group.

    Attributes:
        image: the image's id.
        entries: the group's files, by their paths within it.
    """

    image: str
    entries: Mapping[str, bytes]

    @property
    def count(self) -> int:
        """N, the number of masks."""
        return int(json.loads(self.entries["ids/zarr.json"])["shape"][0])


def encode(masks: ImageMasks) -> bytes:
    """Encode an image's masks, without its id, as the bytes of a cell; `decode` is the inverse.

    The bytes are a zip file of one group.

    Raises:
        ValueError: shapes or dtypes are wrong; see `packed.check`.
    """
    entries = _encode_masks(masks, _CELL_NAME)
    return zarr_zip.zip_groups({_CELL_NAME: entries}, {"format": MaskStore.format}).data


def decode(data: bytes, image: str) -> EncodedMasks:
    """Decode a cell as the masks of `image`.

    Arrays stay compressed; a store copies their bytes. Nothing is checked: a cell has a digest.
    """
    (entries,) = zarr_zip.unzip_groups(data).values()
    attributes = zarr_zip.decode_attributes(entries.__getitem__)
    metadata = zarr_zip.group_json({**attributes, "image": image})
    return EncodedMasks(image, {**entries, "zarr.json": metadata})


def _encode_masks(masks: ImageMasks, image: str) -> dict[str, bytes]:
    check(masks)
    size = {"image": image, "height": masks.height, "width": masks.width}
    arrays = {name: getattr(masks, name) for name in MASK_ARRAYS}
    return zarr_zip.encode_group({**masks.attributes, **size}, arrays, MASKS_LEVEL)


def _decode_columns(image: str, attributes: dict[str, Any], read: Read) -> MaskColumns:
    size = {key: attributes.pop(key) for key in _SIZE}
    return MaskColumns(image=image, attributes=attributes, **size, **_arrays(read, COLUMN_ARRAYS))


def _decode_masks(image: str, attributes: dict[str, Any], read: Read) -> ImageMasks:
    size = {key: attributes.pop(key) for key in _SIZE}
    return ImageMasks(image=image, attributes=attributes, **size, **_arrays(read, MASK_ARRAYS))


def _encode_predictions(predictions: ImagePredictions) -> dict[str, bytes]:
    check(predictions)
    attributes: dict[str, Json] = {
        "image": predictions.image,
        "height": predictions.height,
        "width": predictions.width,
        "classes": list(predictions.classes),
        "mask_count": predictions.mask_count,
        "chosen": list(predictions.chosen),
    }
    arrays = {name: getattr(predictions, name) for name in PREDICTION_ARRAYS}
    return zarr_zip.encode_group(attributes, arrays, PREDICTIONS_LEVEL)


def _decode_predictions(image: str, attributes: dict[str, Any], read: Read) -> ImagePredictions:
    values: Any = (attributes.get(key) for key in ("classes", "chosen", "mask_count"))
    classes, chosen, count = values
    if not (_list_of(str, classes) and _list_of(int, chosen) and type(count) is int):
        raise DamagedError("its attributes do not fit")
    size = {key: attributes[key] for key in _SIZE}
    return ImagePredictions(
        image=image,
        classes=tuple(classes),
        mask_count=count,
        chosen=tuple(chosen),
        **size,
        **_arrays(read, PREDICTION_ARRAYS),
    )


def _arrays(read: Read, names: Iterable[str]) -> dict[str, Any]:
    return {name: zarr_zip.decode_array(read, name, DTYPES[name]) for name in names}


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)


class _ShardEntry(NamedTuple):
    """The manifest's entry of one zip file."""

    images: int
    directory_sha256: str  # see `zarr_zip.Shard`


def _manifest(kind: str, shards: Mapping[str, _ShardEntry]) -> bytes:
    """The zarr.json of a store's folder.

    Args:
        kind: the format's name.
        shards: the zip files, by name.
    """
    attributes = {
        "format": kind,
        "images": sum(entry.images for entry in shards.values()),
        "shards": {name: entry._asdict() for name, entry in shards.items()},
    }
    return zarr_zip.group_json(attributes)


def _parse_manifest(data: bytes, kind: str) -> dict[str, _ShardEntry]:
    """The zip files that a manifest lists, by name.

    Raises:
        DamagedError: `_manifest` writes no such bytes.
    """
    try:
        tree = json.loads(data)["attributes"]["shards"]
        shards = {name: _ShardEntry(**entry) for name, entry in tree.items()}
        intact = data == _manifest(kind, shards)
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise DamagedError(f"not of the format {kind!r}, or damaged")
    return shards


class _Store(ABC, Generic[R]):
    """The base of both stores: shards, manifest, and messages about damage.

    The files used last are kept open, so reading is fastest in `shard_order`. A store must not be
    used by two threads at the same time.
    """

    format: ClassVar[str]
    """The name in the manifest and in each file."""

    @classmethod
    def write(cls, folder: Path, records: Iterable[R]) -> int:
        """Write a store of exactly these images.

        The compressed images of one file are in memory at a time.

        Args:
            folder: replaced as a whole at the end (see `maskquery.core.files`).
            records: in `shard_order`.

        Returns:
            The number of images.

        Raises:
            ValueError: images are out of order or given twice, or shapes or dtypes are wrong.
        """
        shards: dict[str, _ShardEntry] = {}
        with files.replacing_folder(folder) as temporary:
            for digits, members in itertools.groupby(
                records, lambda record: shard_of(record.image)
            ):
                name = f"{digits}.zip"
                if shards and name <= (last := next(reversed(shards))):
                    raise ValueError(f"images must come in shard_order; {name} came after {last}")
                groups = cls._encode_all(members)
                shard = zarr_zip.zip_groups(groups, {"format": cls.format})
                (temporary / name).write_bytes(shard.data)
                shards[name] = _ShardEntry(len(groups), shard.directory)
            (temporary / MANIFEST).write_bytes(_manifest(cls.format, shards))
        return sum(entry.images for entry in shards.values())

    @classmethod
    def _encode_all(cls, records: Iterable[R]) -> dict[str, Mapping[str, bytes]]:
        groups: dict[str, Mapping[str, bytes]] = {}
        for record in records:
            name = group_name(record.image)
            if name in groups:
                raise ValueError(f"the image {record.image!r} is given twice")
            groups[name] = cls._encode(record)
        return groups

    @staticmethod
    @abstractmethod
    def _encode(record: R) -> Mapping[str, bytes]: ...

    def __init__(self, folder: Path) -> None:
        """Open a store and list its images.

        Raises:
            UserError: there is no image, or the files are not those of the manifest.
        """
        self.folder = folder
        self._open: OrderedDict[str, zarr_zip.Reader] = OrderedDict()
        self._shards = self._read_manifest()
        self._names: dict[str, str] = {}
        for name, entry in self._shards.items():
            images = [unquote(group) for group in self._shard(name).groups()]
            if len(images) != entry.images:
                raise self._damage_error(MANIFEST, f"{name} holds other images")
            self._names |= dict.fromkeys(images, name)
        if not self._names:
            raise UserError(f"{folder} holds no images", "run `dvc repro`")

    def _read_manifest(self) -> dict[str, _ShardEntry]:
        """Read the manifest, and check that the folder has exactly the files that it lists."""
        names = {path.name for path in self.folder.glob("[0-9a-f][0-9a-f].zip")}
        try:
            shards = _parse_manifest((self.folder / MANIFEST).read_bytes(), self.format)
        except FileNotFoundError:
            what = f"has files, but no {MANIFEST} that lists them" if names else "holds no images"
            raise UserError(f"{self.folder} {what}", "run `dvc repro`") from None
        except (OSError, DamagedError) as error:
            raise self._damage_error(MANIFEST, error) from None
        if missing := sorted(shards.keys() - names):
            more = f", and so are {len(missing) - 1} more of its files" if missing[1:] else ""
            raise UserError(f"{self.folder / missing[0]} is missing{more}", "run `dvc repro`")
        if others := sorted(names - shards.keys()):
            raise self._damage_error(others[0], f"{MANIFEST} does not list it")
        return shards

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
        """Close all files; a later read reopens them."""
        while self._open:
            self._open.popitem()[1].close()

    def images(self) -> list[str]:
        """The ids of all images, sorted."""
        return sorted(self._names)

    @abstractmethod
    def read(self, image: str) -> R:
        """Read the record of an image.

        Raises:
            UserError: there is no such image, or it is damaged; naming the file and the image.
        """

    def _read(self, image: str, decode: Callable[[str, dict[str, Any], Read], D]) -> D:
        if image not in self._names:
            raise UserError(f"{self.folder} holds no image {image!r}", "run `dvc repro`")
        name = self._names[image]
        read = functools.partial(self._shard(name).read, group_name(image))
        try:
            attributes = zarr_zip.decode_attributes(read)
            fits = all(type(attributes.get(key)) is int for key in _SIZE)
            if attributes.pop("image", None) != image or not fits:
                raise DamagedError("its attributes do not fit")
            record = decode(image, attributes, read)
            check(record)
        except (DamagedError, ValueError) as error:
            raise self._damage_error(name, error, image) from None
        return record

    def _shard(self, name: str) -> zarr_zip.Reader:
        """A file of the store; it is opened and compared with the manifest if it was not open."""
        shard = self._open.pop(name, None) or self._open_shard(name)
        self._open[name] = shard
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1].close()
        return shard

    def _open_shard(self, name: str) -> zarr_zip.Reader:
        try:
            shard = zarr_zip.Reader(self.folder / name)
        except FileNotFoundError:
            raise UserError(f"{self.folder / name} is missing", "run `dvc repro`") from None
        except DamagedError as error:
            raise self._damage_error(name, error) from None
        if shard.directory() != self._shards[name].directory_sha256:
            shard.close()
            raise self._damage_error(name, f"{MANIFEST} says that it has other contents")
        return shard

    def _damage_error(self, name: str, what: object, image: str = "") -> UserError:
        where = f"{self.folder / name}, image {image!r}" if image else f"{self.folder / name}"
        return UserError(
            f"{where} cannot be read ({what})", f"delete {self.folder} and run `dvc repro`"
        )


class MaskStore(_Store[ImageMasks | EncodedMasks]):
    """masks.zarr: the masks of each image."""

    format = "maskquery masks 1"

    @staticmethod
    def _encode(record: ImageMasks | EncodedMasks) -> Mapping[str, bytes]:
        if isinstance(record, EncodedMasks):
            return record.entries
        return _encode_masks(record, record.image)

    def read(self, image: str) -> ImageMasks:
        """Read an image's masks, with their pixels.

        Raises:
            UserError: there is no such image, or it is damaged.
        """
        return self._read(image, _decode_masks)

    def columns(self, image: str) -> MaskColumns:
        """Read the metadata of an image's masks; their pixels are not read.

        Raises:
            UserError: as `read`.
        """
        return self._read(image, _decode_columns)


class PredictionStore(_Store[ImagePredictions]):
    """predictions.zarr: for each image a plane of pixels for each class."""

    format = "maskquery predictions 1"

    @staticmethod
    def _encode(record: ImagePredictions) -> Mapping[str, bytes]:
        return _encode_predictions(record)

    def read(self, image: str) -> ImagePredictions:
        """Read the predictions of an image.

        Raises:
            UserError: there is no such image, or it is damaged.
        """
        return self._read(image, _decode_predictions)
