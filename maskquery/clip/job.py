"""The stage `embeddings`, one image at a time: its cells, and what goes into them."""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maskquery.clip import VERSION
from maskquery.clip.settings import Settings
from maskquery.core import console
from maskquery.core.errors import UserError
from maskquery.images import clahe, image_files, sources
from maskquery.jobs import cache, digests, per_image
from maskquery.masks.mask_store import Store
from maskquery.masks.packed import ImageMasks, MaskColumns
from maskquery.models import checkpoints

KIND = "embeddings"

Pixels = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]

_PREFIX = 10  # bytes of an .npy file before its header: mark, version, the header's length


class Work:
    """What `per_image.results` asks about images; in one thread, for stores are read by one.

    Args:
        store: the masks.
        paths: of the images.
        model: one of `checkpoints.names("clip")`.
        settings: how crops are cut.
        columns: filled with what is known of the masks of the images whose turn is near.

    Attributes:
        origin: the settings and the checkpoint's sha256.
    """

    def __init__(
        self,
        store: Store,
        paths: Mapping[str, sources.File],
        model: str,
        settings: Settings,
        columns: dict[str, MaskColumns] | None = None,
    ) -> None:
        self._store, self._paths, self._settings = store, paths, settings
        weights = checkpoints.find("clip", model).sha256
        self.origin = {**settings.model_dump(), "model": model, "sha256": weights}
        self._columns = columns
        self._encode = per_image.Once(lambda: load(model, settings.tier))

    def look(self, image: str) -> per_image.Need[tuple[Pixels, ImageMasks]]:
        """The image's cells, one for each view; its pixels and masks, if some are missing."""
        columns = self._store.columns(image)
        if self._columns is not None:
            self._columns[image] = columns
        attributes = self._store.attributes(image)
        digest, decoded = attributes.get("sha256", ""), attributes.get("decoded")
        if image in self._paths:
            now = digests.sha256_of(self._paths[image])
            self._expect_digest(image, now or digest, digest)
        ids = sha256(columns.ids.tobytes()).hexdigest()
        shared = {key: value for key, value in self.origin.items() if key != "views"}
        shared = cache.without_neutral(shared, tier="exact", mirrored=False, clahe=0)
        own = [KIND, VERSION, digest, ids, shared, *filter(None, [decoded])]
        names = {str(view): cache.key(*own, view) for view in self._settings.views}
        return per_image.Need(names, lambda _: self._read(image, digest))

    def _read(self, image: str, digest: str) -> tuple[Pixels, ImageMasks]:
        """The image that the masks are of, refused if it is another one by now."""
        if image not in self._paths:
            raise UserError(f"the image {image!r} has masks but no file: run `dvc repro`")
        path = self._paths[image]
        data = image_files.read_bytes(path)
        self._expect_digest(image, sha256(data).hexdigest(), digest)
        return image_files.decode(data, path, None), self._store.read(image)

    def _expect_digest(self, image: str, digest: str, of_masks: str) -> None:
        if digest != of_masks:
            raise UserError(
                f"{self._paths[image]} is not the image that its masks are of: run `dvc repro`, "
                "and if that finds nothing to do, `dvc repro --force masks`"
            )

    def compute(self, image: tuple[Pixels, ImageMasks], views: Sequence[str]) -> dict[str, bytes]:
        """The embeddings of each view, (N, D) float32, as .npy files.

        Crops share a batch with those of the same image and view alone: what else is in a batch
        changes the last bits of an embedding.
        """
        only = self._settings.model_copy(update={"views": tuple(views)})
        pixels, masks = image
        vectors = self._encode()(clahe.equalised(pixels, only.clahe), masks, only)
        return dict(
            zip(views, (_bytes(vectors[:, view]) for view in range(len(views))), strict=True)
        )


@dataclass(frozen=True)
class Maker:
    """Makes the work where the store is to be opened first: on a worker of a cluster."""

    masks: Path
    model: str
    settings: Settings

    def __call__(self, paths: Mapping[str, sources.File]) -> Work:
        """The work on images that have these paths."""
        return Work(Store(self.masks), paths, self.model, self.settings)


def _bytes(vectors: Embeddings) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(vectors), allow_pickle=False)
    return buffer.getvalue()


def stacked(parts: Mapping[str, bytes]) -> Embeddings:
    """What `compute` made of each of V views, in their order: (N, V, D)."""
    return np.stack([_array(part) for part in parts.values()], axis=1)


def _array(data: bytes) -> Embeddings:
    """As np.load, which parses each header anew, though few differ."""
    length = _PREFIX + int.from_bytes(data[8:_PREFIX], "little")
    return np.frombuffer(data, np.float32, offset=length).reshape(_shape(data[:length]))


@functools.cache
def _shape(header: bytes) -> tuple[int, ...]:
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an .npy file of another version")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran_order or dtype != np.dtype("<f4"):
        raise ValueError(f"{dtype} where float32 was expected, row by row")
    found: tuple[int, ...] = shape
    return found


def load(model: str, tier: str) -> Callable[[Pixels, ImageMasks, Settings], Embeddings]:
    """The encoder, which takes an image (H, W, 3) and its N masks and gives (N, V, D).

    Says so on stderr where the tier `fast` is the slower one.

    Imported here: torch takes seconds, and is not needed where every image has its cells.
    """
    from maskquery.clip import encoder, loading
    from maskquery.models import device

    where = device.pick()
    if tier == "fast" and not device.has_bfloat16(where):
        console.tell(
            "embeddings: clip.tier fast computes in bfloat16, for which this processor has no "
            "instructions: clip.tier exact takes less time"
        )
    clip = encoder.prepare(loading.load(model, where))
    return lambda pixels, masks, settings: encoder.encode_masks(
        clip, pixels, masks.boxes, masks.masks, settings
    )
