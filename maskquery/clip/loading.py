"""CLIP with its weights, from verified files alone."""

import warnings
from typing import BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError

from maskquery.clip.openai import CLIP, build_model
from maskquery.clip.tiny import build_tiny_clip
from maskquery.core.errors import UserError
from maskquery.models import checkpoints

UNREADABLE = (
    RuntimeError,
    AssertionError,
    AttributeError,
    LookupError,
    ValueError,
    SafetensorError,
)


def load(model: str, device: torch.device) -> CLIP:
    """One of `checkpoints.names("clip")`, in evaluation mode, float32 on every device.

    OpenAI's files are TorchScript archives. Code in them is loaded, which is why their sha256 is
    checked before; their weights alone are used, in the package's own model class.

    Raises:
        UserError: the checkpoint cannot be had, or is another architecture's.
    """
    with checkpoints.open_checkpoint("clip", model) as file:
        try:
            clip = _tiny(file) if model == "tiny" else build_model(_archive(file))
        except UNREADABLE as error:
            why = (str(error).splitlines() or [type(error).__name__])[0][:100]
            raise UserError(
                f"{file.name} does not hold the weights of clip.model {model} ({why})",
                "put the published file there, or delete it",
            ) from error
    return clip.float().to(device).eval()


def _tiny(file: BinaryIO) -> CLIP:
    clip = build_tiny_clip()
    clip.load_state_dict(safetensors.torch.load(file.read()))
    return clip


def _archive(file: BinaryIO) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.load` is deprecated")
        archive = torch.jit.load(file, map_location="cpu")
    weights: dict[str, torch.Tensor] = archive.state_dict()
    return weights
