"""The job of the stage `embeddings`: an image's cells, and what goes into them."""

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
from maskquery.jobs import cache, digests
from maskquery.jobs.job import CacheRequest, Lazy
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import ImageMasks, MaskColumns
from maskquery.models import checkpoints

KIND = "embeddings"

Pixels = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]
Encode = Callable[[Pixels, ImageMasks, Settings], Embeddings]

_PREFIX = 10  # bytes of an .npy file before its header: mark, version, the header's length


@dataclass(frozen=True)
class Description:
    """What a `ClipJob` is made of.

    Attributes:
        masks: a store.
        model: one of `checkpoints.names("clip")`.
        settings: how crops are cut.
    """

    masks: Path
    model: str
    settings: Settings

    def open(self) -> "ClipJob":
        """The job, with its store open; its model is loaded for the first image to be computed.

        Raises:
            UserError: the store is missing or damaged.
        """
        return ClipJob(self, MaskStore(self.masks))


@dataclass(frozen=True)
class ImageSource:
    """An image that has masks.

    Attributes:
        image: its id.
        file: where its bytes are, None if there is no such file.
        sha256: of the bytes that the masks are of, in hex.
        columns: what is known of the masks besides their pixels.
    """

    image: str
    file: sources.File | None
    sha256: str
    columns: MaskColumns


@dataclass(frozen=True)
class Inputs:
    """An image, (H, W, 3) uint8 RGB, and its masks."""

    pixels: Pixels
    masks: ImageMasks


class ClipJob:
    """Encodes what CLIP is shown of each mask of an image: a `jobs.job.Job`.

    Attributes:
        store: the masks, to be closed by whoever opened the job.
        origin: the settings and the checkpoint's sha256.
    """

    kind = KIND
    threads = 1  # a store is read in one

    def __init__(self, description: Description, store: MaskStore) -> None:
        self.description, self.store = description, store
        self._settings, model = description.settings, description.model
        weights = checkpoints.find("clip", model).sha256
        self.origin = {**self._settings.model_dump(), "model": model, "sha256": weights}
        shared = {name: value for name, value in self.origin.items() if name != "views"}
        self._shared = cache.without_neutral(shared, tier="exact", mirrored=False, clahe=0)
        self._encode = Lazy(self._load_model)

    def _load_model(self) -> Encode:
        return load(self.description.model, self._settings.tier)

    def plan(self, image: str, file: sources.File | None) -> CacheRequest[ImageSource]:
        """The keys of the image's cells, one for each view."""
        columns = self.store.columns(image)
        digest = str(columns.attributes.get("sha256", ""))
        decoded = [names] if (names := columns.attributes.get("decoded")) else []
        if file is not None:
            _expect_digest(file, digests.sha256_of(file) or digest, digest)
        ids = sha256(columns.ids.tobytes()).hexdigest()
        keys = {
            str(view): cache.key(KIND, VERSION, digest, ids, self._shared, *decoded, view)
            for view in self._settings.views
        }
        return CacheRequest(keys, ImageSource(image, file, digest, columns))

    def load(self, source: ImageSource) -> Inputs:
        """Decode the image that the masks are of, refused if it is another one by now."""
        if source.file is None:
            raise UserError(f"the image {source.image!r} has masks but no file", "run `dvc repro`")
        data = image_files.read_bytes(source.file)
        _expect_digest(source.file, sha256(data).hexdigest(), source.sha256)
        pixels = image_files.decode(data, source.file, None)
        return Inputs(pixels, self.store.read(source.image))

    def compute(self, inputs: Inputs, views: Sequence[str]) -> Mapping[str, bytes]:
        """The embeddings of each view, (N, D) float32, as .npy files.

        Crops share a batch with those of the same image and view alone: what else is in a batch
        changes the last bits of an embedding.
        """
        settings = self._settings.model_copy(update={"views": tuple(views)})
        pixels = clahe.equalise(inputs.pixels, settings.clahe)
        embeddings = self._encode()(pixels, inputs.masks, settings)
        return {view: _bytes(embeddings[:, index]) for index, view in enumerate(views)}


def _expect_digest(file: sources.File, digest: str, of_masks: str) -> None:
    """Refuse an image that is not the one that its masks are of."""
    if digest != of_masks:
        raise UserError(
            f"{file} is not the image that its masks are of",
            "run `dvc repro`, and if that finds nothing to do, `dvc repro --force masks`",
        )


def _bytes(vectors: Embeddings) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(vectors), allow_pickle=False)
    return buffer.getvalue()


def stack_views(parts: Mapping[str, bytes]) -> Embeddings:
    """The embeddings that `compute` gave for each of V views, in their order: (N, V, D) float32."""
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


def load(model: str, tier: str) -> Encode:
    """The encoder, which takes an image (H, W, 3) and its N masks and gives (N, V, D).

    Says so on stderr where the tier `fast` is the slower one.

    Imported here: torch takes seconds, and is not needed where every image has its cells.
    """
    from maskquery.clip import encoder, loading
    from maskquery.models import device

    where = device.pick()
    if tier == "fast" and not device.has_bfloat16(where):
        console.log(
            "embeddings: clip.tier fast computes in bfloat16, for which this processor has no "
            "instructions: clip.tier exact takes less time"
        )
    clip = encoder.prepare(loading.load(model, where))
    return lambda pixels, masks, settings: encoder.encode_masks(
        clip, pixels, masks.boxes, masks.masks, settings
    )
