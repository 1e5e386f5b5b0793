"""SAM with its weights, from verified files alone."""

import pickle
from typing import BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from maskquery.core.errors import UserError
from maskquery.models import checkpoints
from maskquery.sam.tiny import build_tiny_sam

UNREADABLE = (
    RuntimeError,
    TypeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)


def load(model: str, device: torch.device) -> Sam:
    """One of `checkpoints.names("sam")`, in evaluation mode, float32.

    The registry's own loader calls `torch.load` so that a file may run code; here only tensors
    are read (`weights_only`).

    Raises:
        UserError: the checkpoint cannot be had, or is another architecture's.
    """
    with checkpoints.open_checkpoint("sam", model) as file:
        try:
            weights = _read(file, model)
            sam: Sam = build_tiny_sam() if model == "tiny" else sam_model_registry[model]()
            sam.load_state_dict(weights)
        except UNREADABLE as error:
            why = (str(error).splitlines() or ["it ends too early"])[0][:100]
            raise UserError(
                f"{file.name} does not hold the weights of sam.model {model} ({why})",
                "put the published file there, or delete it",
            ) from error
    return sam.to(device).eval()


def _read(file: BinaryIO, model: str) -> dict[str, torch.Tensor]:
    if model == "tiny":
        return safetensors.torch.load(file.read())
    weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights
