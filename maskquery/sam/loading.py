"""Load SAM with its weights, from verified files only."""

import pickle
from typing import BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from maskquery.models import checkpoints
from maskquery.sam.mobile import CLASSIFIER, build_mobile_sam
from maskquery.sam.tiny import build_tiny_sam

DAMAGED = (
    RuntimeError,
    TypeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)


def load(model: str, device: torch.device) -> Sam:
    """Load a SAM, in evaluation mode, float32.

    The loader of upstream's registry unpickles the file, which may run code; here only tensors are
    read (`weights_only`).

    Args:
        model: one of `checkpoints.names("sam")`.
        device: where the weights go.

    Raises:
        UserError: the checkpoint cannot be opened or downloaded, or is of another architecture.
    """
    with checkpoints.open_checkpoint("sam", model, DAMAGED) as file:
        weights = _read(file, model)
        build = {"tiny": build_tiny_sam, "mobile": build_mobile_sam} | sam_model_registry
        sam: Sam = build[model]()
        sam.load_state_dict(weights)
    return sam.to(device).eval()


def _read(file: BinaryIO, model: str) -> dict[str, torch.Tensor]:
    if model == "tiny":
        return safetensors.torch.load(file.read())
    weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    if model == "mobile":
        weights = {name: value for name, value in weights.items() if name not in CLASSIFIER}
    return weights
