"""Load CLIP with its weights, from verified files only."""

import pickle
import warnings
from typing import BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError

from maskquery.clip import openclip
from maskquery.clip.openai import CLIP, build_model
from maskquery.clip.openclip import OpenClip
from maskquery.clip.tiny import build_tiny_clip
from maskquery.models import checkpoints
from maskquery.models.openclip import is_name

DAMAGED = (
    RuntimeError,
    AssertionError,
    AttributeError,
    LookupError,
    ValueError,
    SafetensorError,
    pickle.UnpicklingError,
    EOFError,
)


def load(model: str, device: torch.device) -> CLIP | OpenClip:
    """Load a CLIP, in evaluation mode, float32 on every device.

    OpenAI's files are TorchScript archives. To read one loads the code in it, so the sha256 is
    checked first; only the weights are used, in the model class of OpenAI's package.

    Args:
        model: one of `checkpoints.names("clip")`, or a name of OpenCLIP's.
        device: where the weights go.

    Raises:
        UserError: the checkpoint cannot be opened or downloaded, or is of another architecture.
    """
    with checkpoints.open_checkpoint("clip", model, DAMAGED) as file:
        clip = _read(file, model)
    return clip.float().to(device).eval()


def _read(file: BinaryIO, model: str) -> CLIP | OpenClip:
    if is_name(model):
        return openclip.read(model, file)
    return _read_tiny(file) if model == "tiny" else build_model(_read_archive(file))


def _read_tiny(file: BinaryIO) -> CLIP:
    clip = build_tiny_clip()
    clip.load_state_dict(safetensors.torch.load(file.read()))
    return clip


def _read_archive(file: BinaryIO) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.load` is deprecated")
        archive = torch.jit.load(file, map_location="cpu")
    weights: dict[str, torch.Tensor] = archive.state_dict()
    return weights
