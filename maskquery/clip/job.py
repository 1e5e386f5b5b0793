"""The job of the stage `embeddings`: embed the masks of an image, a cell for each view."""

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
    """The parameters of a `ClipJob`.

    Attributes:
        masks: the store of masks.
        model: one of `checkpoints.names("clip")`.
        settings: how crops are cut.
    """

    masks: Path
    model: str
    settings: Settings

    def open(self) -> "ClipJob":
        """Open the job and its store. Its model is loaded when the first image is computed.

        Raises:
            UserError: the store is missing or damaged.
        """
        return ClipJob(self, MaskStore(self.masks))


@dataclass(frozen=True)
class ImageSource:
    """An image that has masks.

    Attributes:
        image: its id.
        file: where its bytes are; None if there is no such file.
        sha256: of the image file that the masks were generated from, in hex.
        columns: the metadata of the masks.
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
    """Embeds the views of each mask of an image: a `jobs.job.Job`.

    Attributes:
        store: the masks; who opened the job closes it.
        origin: the settings, the checkpoint's sha256, and the commit of the Hub's repository that
            it is of, if it is from there.
    """

    kind = KIND
    threads = 1  # a store is read by one thread

    def __init__(self, description: Description, store: MaskStore) -> None:
        self.description, self.store = description, store
        self._settings, model = description.settings, description.model
        weights = checkpoints.find("clip", model)
        self.origin = {**self._settings.model_dump(), "model": model, "sha256": weights.sha256}
        settings = {name: value for name, value in self.origin.items() if name != "views"}
        self._key_settings = cache.without_neutral(settings, tier="exact", mirrored=False, clahe=0)
        if weights.revision:
            self.origin["revision"] = weights.revision
        self._encode = Lazy(self._load_model)

    def _load_model(self) -> Encode:
        return load(self.description.model, self._settings.tier)

    def plan(self, image: str, file: sources.File | None) -> CacheRequest[ImageSource]:
        """The keys of the image's cells, one for each view.

        Raises:
            UserError: the image changed since its masks were generated.
        """
        columns = self.store.columns(image)
        digest = str(columns.attributes.get("sha256", ""))
        conversions = [names] if (names := columns.attributes.get("decoded")) else []
        if file is not None:
            _expect_digest(file, digests.sha256_of(file) or digest, digest)
        ids = sha256(columns.ids.tobytes()).hexdigest()
        keys = {
            str(view): cache.key(KIND, VERSION, digest, ids, self._key_settings, *conversions, view)
            for view in self._settings.views
        }
        return CacheRequest(keys, ImageSource(image, file, digest, columns))

    def load(self, source: ImageSource) -> Inputs:
        """Decode the image and read its masks.

        Raises:
            UserError: the image is missing, or changed since its masks were generated.
        """
        if source.file is None:
            raise UserError(f"the image {source.image!r} has masks but no file", "run `dvc repro`")
        data = image_files.read_bytes(source.file)
        _expect_digest(source.file, sha256(data).hexdigest(), source.sha256)
        pixels = image_files.decode(data, source.file, None)
        return Inputs(pixels, self.store.read(source.image))

    def compute(self, inputs: Inputs, views: Sequence[str]) -> Mapping[str, bytes]:
        """Compute the embeddings of each view, (N, D) float32, as .npy files.

        A batch holds crops of one image and one view: the rest of a batch changes the last bits of
        an embedding.
        """
        settings = self._settings.model_copy(update={"views": tuple(views)})
        pixels = clahe.equalise(inputs.pixels, settings.clahe)
        embeddings = self._encode()(pixels, inputs.masks, settings)
        return {view: _bytes(embeddings[:, index]) for index, view in enumerate(views)}


def _expect_digest(file: sources.File, digest: str, of_masks: str) -> None:
    """Refuse an image that is not the one that the masks were generated from."""
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
    """Stack what `compute` returned for V views: (N, V, D) float32."""
    return np.stack([_array(part) for part in parts.values()], axis=1)


def _array(data: bytes) -> Embeddings:
    """As np.load, which parses every header, although few differ."""
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
    result: tuple[int, ...] = shape
    return result


def load(model: str, tier: str) -> Encode:
    """A function that embeds an image (H, W, 3) and its N masks: (N, V, D) float32.

    Warns on stderr if the tier `fast` is slower than `exact` on this processor. Torch is imported
    here: it takes seconds, and is not needed if every image has its cells.
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
