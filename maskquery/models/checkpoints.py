"""The known checkpoints: their addresses, their sha256, and how to open or download them.

A checkpoint is searched for in the cache folders of torch and clip, and downloaded into this
project's own if it is in none. Its sha256 is computed every time it is opened (1.5 s for the
largest, SAM's vit_h): only published bytes are ever loaded. Torch is not imported here, so that
params.yaml is checked without it.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from maskquery.core.errors import UserError
from maskquery.core.files import user_cache
from maskquery.models import openclip
from maskquery.models.download import download

Kind = Literal["sam", "clip"]

SHIPPED = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """The file of one model's weights.

    Attributes:
        kind: "sam" or "clip".
        model: its name in params.yaml.
        file: the file's name.
        sha256: of its bytes, in hex.
        url: where it is published; None if it is a part of this package.
        size: bytes; None if it is not known before the download.
        about: MB, where no exact size is known: of the same architecture in the same format.
        path: where it is, if that is known already.
        revision: the commit of the Hub's repository that it is of, if it is from there.
    """

    kind: Kind
    model: str
    file: str
    sha256: str
    url: str | None
    size: int | None = None
    about: int | None = None
    path: Path | None = None
    revision: str | None = None


def _tiny(kind: Kind, sha256: str) -> Checkpoint:
    return Checkpoint(kind, "tiny", f"{kind}.safetensors", sha256, None)


def _sam(model: str, release: str, size: int, sha256: str) -> Checkpoint:
    file = f"sam_{model}_{release}.pth"
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    return Checkpoint("sam", model, file, sha256, url, size)


def _clip(model: str, sha256: str, about: int | None = None) -> Checkpoint:
    file = model.replace("/", "-").replace("@", "-") + ".pt"
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
    return Checkpoint("clip", model, file, sha256, url, about=about)


# Of ChaoningZhang/MobileSAM.
_MOBILE_COMMIT = "f706ad9c4eb7f219c00d9050e46328518ffb65d2"

# SAM: sizes and hashes agree in several unrelated public sources. CLIP: `clip.clip._MODELS`, where
# the hash is a part of the address; copied because the import of clip loads torch.
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
    Checkpoint(
        "sam",
        "mobile",
        "mobile_sam.pt",
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        f"https://github.com/ChaoningZhang/MobileSAM/raw/{_MOBILE_COMMIT}/weights/mobile_sam.pt",
        40728226,
    ),
    _tiny("clip", "f2717944a396d1fdaa80003814ed653ce2c8c33e66b31a47b57812b11b3ec3f4"),
    _clip("RN50", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", 256),
    _clip("RN101", "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    _clip("RN50x4", "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    _clip("RN50x16", "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    _clip("RN50x64", "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    _clip("ViT-B/32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", 354),
    _clip("ViT-B/16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", 351),
    _clip("ViT-L/14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    _clip("ViT-L/14@336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
)


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the models of a kind, in the order of `CHECKPOINTS`."""
    return tuple(c.model for c in CHECKPOINTS if c.kind == kind)


def find(kind: Kind, model: str) -> Checkpoint:
    """The entry of `CHECKPOINTS` for a model, or what `openclip.locate` says of one of OpenCLIP's.

    Raises:
        UserError: there is no such model, or weights of OpenCLIP's cannot be downloaded.
    """
    if kind == "clip" and openclip.is_name(model):
        weights = openclip.locate(model, folder())
        return Checkpoint(
            kind,
            model,
            weights.path.name,
            weights.sha256,
            None,
            path=weights.path,
            revision=weights.revision,
        )
    for checkpoint in CHECKPOINTS:
        if (checkpoint.kind, checkpoint.model) == (kind, model):
            return checkpoint
    raise UserError(f"{kind}.model: {model!r} is unknown", f"use one of {', '.join(names(kind))}")


def model_validator(kind: Kind) -> Callable[[str], str]:
    """A validator for pydantic: it returns the model's name, or refuses one that is not known.

    >>> model_validator("sam")("vit_b")
    'vit_b'
    >>> model_validator("sam")("vit_c")
    Traceback (most recent call last):
    ValueError: must be one of tiny, vit_b, vit_l, vit_h, mobile
    """

    def validate(model: str) -> str:
        if kind == "clip" and openclip.is_name(model):
            openclip.parse(model)
            return model
        if model not in names(kind):
            raise ValueError(f"must be one of {', '.join(names(kind))}")
        return model

    return validate


def fetch(kind: Kind, model: str) -> Path:
    """The file of a model, downloaded if it is in none of the folders; see `open_checkpoint`.

    Raises:
        UserError: as `open_checkpoint`.
    """
    with open_checkpoint(kind, model) as file:
        return Path(file.name)


@contextlib.contextmanager
def open_checkpoint(
    kind: Kind, model: str, damaged: tuple[type[Exception], ...] = ()
) -> Iterator[BinaryIO]:
    """Open a file with exactly the model's published bytes, downloaded if need be.

    Searched are the cache folders of torch and clip, then `folder()`, into which a download goes. A
    file with other bytes is left alone in the former and replaced in the latter. The sha256 is
    computed from the open file, so the bytes that are loaded are the bytes that were hashed, even
    if another file is put in its place meanwhile.

    Args:
        kind: "sam" or "clip".
        model: one of `names(kind)`.
        damaged: types of errors that reading the file raises if it holds something else than the
            weights. Inside the `with` block they become a `UserError` that names the file.

    Raises:
        UserError: the model is not known; its shipped file is missing or changed; the download
            failed (the message says which file with which sha256 to put where); or `damaged`.
    """
    checkpoint = find(kind, model)
    file = _open(checkpoint)
    with file:
        try:
            yield file
        except damaged as error:
            nothing = "it ends too early" if isinstance(error, EOFError) else type(error).__name__
            why = (str(error).splitlines() or [nothing])[0][:100]
            raise UserError(
                f"{file.name} does not hold the weights of {kind}.model {model} ({why})",
                "put the published file there, or delete it",
            ) from error


def _open(checkpoint: Checkpoint) -> BinaryIO:
    if checkpoint.path:
        if file := _open_if_intact(checkpoint.path, checkpoint):
            return file
        raise UserError(f"{checkpoint.path} was replaced meanwhile", "run the command again")
    return _open_shipped(checkpoint) if checkpoint.url is None else _open_published(checkpoint)


def _open_published(checkpoint: Checkpoint) -> BinaryIO:
    others = []  # what is wrong with the files that are there
    for path in _places(checkpoint):
        try:
            if not path.is_file():
                continue
            if file := _open_if_intact(path, checkpoint):
                return file
            others.append(f"; {path} has another sha256")
        except OSError as error:
            others.append(f"; {path} cannot be read ({error.strerror})")
    target = folder() / checkpoint.file
    try:
        download(checkpoint.url or "", target, checkpoint.sha256, checkpoint.size)
    except UserError as error:
        raise UserError(
            f"{checkpoint.kind} model {checkpoint.model}: {error}",
            f"fetch {checkpoint.url} (sha256 {checkpoint.sha256}) by hand and put it at "
            f"{target}{''.join(others)}",
        ) from error
    if file := _open_if_intact(target, checkpoint):
        return file
    raise UserError(f"{target} was replaced after its download", "run the command again")


def _open_shipped(checkpoint: Checkpoint) -> BinaryIO:
    path = SHIPPED / checkpoint.file
    if not path.is_file():
        raise UserError(f"{path} is missing: it is a part of this package", "install it again")
    if file := _open_if_intact(path, checkpoint):
        return file
    raise UserError(
        f"{path} is not the file that this code knows (sha256 {checkpoint.sha256})",
        "check it out again, or enter the new file's hash in maskquery/models/checkpoints.py",
    )


def _open_if_intact(path: Path, checkpoint: Checkpoint) -> BinaryIO | None:
    """The file, open at its start; None if its bytes are not the published ones."""
    file = path.open("rb")
    try:
        intact = hashlib.file_digest(file, "sha256").hexdigest() == checkpoint.sha256
        file.seek(0)
    except BaseException:
        file.close()
        raise
    if not intact:
        file.close()
    return file if intact else None


def absent(kind: Kind, model: str) -> Checkpoint | None:
    """The entry of a model whose file is in no folder and will be downloaded; else None.

    Of one of OpenCLIP's it is not known: the Hub says what it downloads.
    """
    if kind == "clip" and openclip.is_name(model):
        return None
    checkpoint = find(kind, model)
    here = checkpoint.url is None or any(path.is_file() for path in _places(checkpoint))
    return None if here else checkpoint


def folder() -> Path:
    """The folder of downloads: $MASKQUERY_MODELS, or ~/.cache/maskquery/models."""
    chosen = os.environ.get("MASKQUERY_MODELS")
    return Path(chosen).expanduser() if chosen else user_cache() / "models"


def _places(checkpoint: Checkpoint) -> Iterator[Path]:
    """Where the file may be, in the order of the search."""
    torch_home = os.environ.get("TORCH_HOME")
    if torch_home:
        yield Path(torch_home) / "hub" / "checkpoints" / checkpoint.file
    yield user_cache().parent / "torch" / "hub" / "checkpoints" / checkpoint.file
    yield Path.home() / ".cache" / "clip" / checkpoint.file
    yield folder() / checkpoint.file
