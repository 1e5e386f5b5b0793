"""OpenCLIP's published weights: `openclip:ARCH/TAG`, from the Hugging Face Hub or from a file.

`openclip.json` lists what `open_clip.list_pretrained()` lists, with the repository of each, so that
params.yaml is checked without the package `open_clip`, whose import loads torch. The weights have
no hash in any list: the sha256 of the file becomes a part of every key and of a table's metadata,
and a file in the Hub's cache, whose name there is its published sha256, must have it.
"""

import difflib
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from maskquery.core.errors import UserError
from maskquery.core.files import file_hash

PREFIX = "openclip:"
SUFFIXES = (".safetensors", ".bin", ".pt")
"""Of files of weights; the first is preferred."""

INSTALL = "pip install 'maskquery[openclip]'"

_TABLE = Path(__file__).with_name("openclip.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Name:
    """A model's name in params.yaml, in parts.

    Attributes:
        architecture: of `open_clip.list_models()`.
        tag: of its weights.
        revision: a commit of the Hub's repository, 40 hex digits; None for the one that the Hub's
            cache holds, or the newest.
    """

    architecture: str
    tag: str
    revision: str | None


@dataclass(frozen=True)
class Weights:
    """A file of weights.

    Attributes:
        path: where it is.
        sha256: of its bytes, in hex.
        revision: the commit of the Hub's repository that it is of; None for another file.
    """

    path: Path
    sha256: str
    revision: str | None


def is_name(model: str) -> bool:
    """Whether a model's name is one of OpenCLIP's."""
    return model.startswith(PREFIX)


@functools.cache
def table_of_weights() -> dict[str, dict[str, str]]:
    """Architecture to tag to "owner/repository/" or "owner/repository/file", as in open_clip."""
    table: dict[str, dict[str, str]] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table


def parse(model: str) -> Name:
    """The parts of a name.

    >>> parse("openclip:ViT-B-32-256/datacomp_s34b_b86k")
    Name(architecture='ViT-B-32-256', tag='datacomp_s34b_b86k', revision=None)
    >>> parse("openclip:ViT-B-32-256/datacomp")
    Traceback (most recent call last):
    ValueError: ViT-B-32-256 of OpenCLIP has the weights datacomp_s34b_b86k, not datacomp
    >>> parse("openclip:ViT-B-31/laion400m_e31")
    Traceback (most recent call last):
    ValueError: OpenCLIP has no ViT-B-31; it has ViT-B-32, ViT-B-16 and others

    Raises:
        ValueError: there is no such model; the message names those that are near.
    """
    architecture, _, rest = model.removeprefix(PREFIX).partition("/")
    tag, at, revision = rest.partition("@")
    table = table_of_weights()
    if architecture not in table:
        near = difflib.get_close_matches(architecture, table, 2) or [*table][:2]
        raise ValueError(f"OpenCLIP has no {architecture}; it has {', '.join(near)} and others")
    if tag not in table[architecture]:
        tags = ", ".join(table[architecture])
        raise ValueError(f"{architecture} of OpenCLIP has the weights {tags}, not {tag}")
    if at and not _COMMIT.fullmatch(revision):
        raise ValueError(f"after @ must follow a commit of 40 hex digits, not {revision!r}")
    return Name(architecture, tag, revision or None)


def locate(model: str, folder: Path) -> Weights:
    """The weights of a model, downloaded into the Hub's own cache if they are in no place.

    Searched are `folder`, for a file `openclip-ARCH-TAG.safetensors`, `.bin` or `.pt`, unless the
    name has a revision; then the Hub's cache.

    Raises:
        UserError: the name is not known, the extra is not installed, or the download failed.
    """
    try:
        name = parse(model)
    except ValueError as error:
        raise UserError(f"clip.model: {error}") from None
    stem = f"openclip-{name.architecture}-{name.tag}"
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    local = [path for path in paths if path.is_file() and not name.revision]
    if local:
        return Weights(local[0], _sha256(local[0]), None)
    path = _from_hub(model, name, paths[0])
    sha256, blob = _sha256(path), path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", blob) and blob != sha256:
        raise UserError(f"{path} has another sha256 than the Hub published", "delete the file")
    return Weights(path, sha256, path.parent.name)


def _from_hub(model: str, name: Name, place: Path) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"clip.model {model} needs open_clip", INSTALL) from error
    owner, repository, file = table_of_weights()[name.architecture][name.tag].split("/")
    repository = f"{owner}/{repository}"
    reasons = []
    for offline in (True, False):
        for candidate in _candidates(file):
            try:
                return Path(
                    hf_hub_download(
                        repository, candidate, revision=name.revision, local_files_only=offline
                    )
                )
            except Exception as error:  # the Hub's, the operating system's, and those of httpx
                reasons.append(f"{(str(error).splitlines() or [type(error).__name__])[0][:120]}")
    raise UserError(
        f"clip.model {model}: cannot download {repository} from the Hub ({reasons[-1]})",
        f"put the file at {place}, or as .bin or .pt beside it",
    )


def _candidates(file: str) -> list[str]:
    """What the weights are called in a repository, safetensors first, as open_clip looks."""
    if not file:
        return ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    return [f"{Path(file).stem}.safetensors", file]


def _sha256(path: Path) -> str:
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _hash(path: Path, size: int, changed: int) -> str:  # noqa: ARG001
    """Of a file, once for as long as it is the same."""
    return file_hash(path)
