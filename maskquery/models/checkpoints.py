"""Known checkpoints: where they are published, what their bytes must be, and how they get here.

A checkpoint is found in the cache folders that torch and clip use, or downloaded into this
project's own. Its sha256 is taken every time before it is handed on (1.5 s for the largest, SAM's
vit_h), so that nothing but the published bytes is ever loaded. Torch is not needed here: which
models exist is known before any model is loaded.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from maskquery.core.errors import UserError
from maskquery.core.files import file_hash, user_cache
from maskquery.models.download import download

Kind = Literal["sam", "clip"]

SHIPPED = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """One model's weights.

    Attributes:
        url: where they are published; None where they are a part of this package.
        size: bytes, where it is known beforehand.
    """

    kind: Kind
    model: str
    file: str
    sha256: str
    url: str | None
    size: int | None = None


def _tiny(kind: Kind, sha256: str) -> Checkpoint:
    return Checkpoint(kind, "tiny", f"{kind}.safetensors", sha256, None)


def _sam(model: str, release: str, size: int, sha256: str) -> Checkpoint:
    file = f"sam_{model}_{release}.pth"
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    return Checkpoint("sam", model, file, sha256, url, size)


def _clip(model: str, sha256: str) -> Checkpoint:
    file = model.replace("/", "-").replace("@", "-") + ".pt"
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
    return Checkpoint("clip", model, file, sha256, url)


# SAM: each size and hash was read in several unrelated public sources. CLIP: `clip.clip._MODELS`,
# where the hash is a part of the address; written out here because importing clip loads torch.
CHECKPOINTS = (
    _tiny("sam", "b9c69f4cbb373287d8ca9a3b9b41c4758a026fc4991e6568ecf5d0c4a3d4f4a3"),
    _sam(
        "vit_b",
        "01ec64",
        375042383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "vit_l",
        "0b3195",
        1249524607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "vit_h",
        "4b8939",
        2564550879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _tiny("clip", "f2717944a396d1fdaa80003814ed653ce2c8c33e66b31a47b57812b11b3ec3f4"),
    _clip("RN50", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
    _clip("RN101", "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    _clip("RN50x4", "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    _clip("RN50x16", "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    _clip("RN50x64", "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    _clip("ViT-B/32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    _clip("ViT-B/16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    _clip("ViT-L/14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    _clip("ViT-L/14@336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
)


def names(kind: Kind) -> tuple[str, ...]:
    """The models of a kind, in the table's order."""
    return tuple(c.model for c in CHECKPOINTS if c.kind == kind)


def find(kind: Kind, model: str) -> Checkpoint:
    """The table's entry.

    Raises:
        UserError: there is no such model.
    """
    for checkpoint in CHECKPOINTS:
        if (checkpoint.kind, checkpoint.model) == (kind, model):
            return checkpoint
    raise UserError(f"{kind}.model: {model!r} is unknown", f"use one of {', '.join(names(kind))}")


def fetch(kind: Kind, model: str) -> Path:
    """A local file with exactly the model's published bytes, downloaded if need be.

    Looked at in this order: torch's and clip's cache folders, then `folder()`, into which a
    download goes. A file with other bytes is left alone in the former and replaced in the latter.

    Raises:
        UserError: the shipped file is missing or changed, or the download failed; the message
            says which file with which sha256 to put where.
    """
    checkpoint = find(kind, model)
    if checkpoint.url is None:
        return _shipped(checkpoint)
    refused = []
    for place in _places(checkpoint):
        try:
            if not place.is_file():
                continue
            if file_hash(place) == checkpoint.sha256:
                return place
            refused.append(f"; the bytes of {place} are others")
        except OSError as error:
            refused.append(f"; {place} cannot be read ({error.strerror})")
    target = folder() / checkpoint.file
    try:
        download(checkpoint.url, target, checkpoint.sha256, checkpoint.size)
    except UserError as error:
        raise UserError(
            f"{kind} model {model}: {error}; fetch {checkpoint.url} (sha256 {checkpoint.sha256}) "
            f"by hand and put it at {target}{''.join(refused)}"
        ) from error
    return target


@contextlib.contextmanager
def open_checkpoint(kind: Kind, model: str) -> Iterator[BinaryIO]:
    """A model's file, open for reading from its start; its bytes were hashed through this handle.

    Raises:
        UserError: as `fetch`; or the file was exchanged since.
    """
    path = fetch(kind, model)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != find(kind, model).sha256:
            raise UserError(
                f"{path} has been exchanged while it was opened", "run the command again"
            )
        file.seek(0)
        yield file


def folder() -> Path:
    """Where downloads are kept: $MASKQUERY_MODELS, or ~/.cache/maskquery/models."""
    own = os.environ.get("MASKQUERY_MODELS")
    return Path(own).expanduser() if own else user_cache() / "models"


def _places(checkpoint: Checkpoint) -> Iterator[Path]:
    torch_home = os.environ.get("TORCH_HOME")
    if torch_home:
        yield Path(torch_home) / "hub" / "checkpoints" / checkpoint.file
    yield user_cache().parent / "torch" / "hub" / "checkpoints" / checkpoint.file
    yield Path.home() / ".cache" / "clip" / checkpoint.file
    yield folder() / checkpoint.file


def _shipped(checkpoint: Checkpoint) -> Path:
    path = SHIPPED / checkpoint.file
    if not path.is_file():
        raise UserError(f"{path} is missing: it is a part of this package", "install it again")
    if file_hash(path) != checkpoint.sha256:
        raise UserError(
            f"{path} is not the file that this code knows (sha256 {checkpoint.sha256})",
            "check it out again, or enter the new file's hash in maskquery/models/checkpoints.py",
        )
    return path
