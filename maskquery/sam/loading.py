"""SAM with its weights, from verified files alone."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
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
    path = checkpoints.fetch("sam", model)
    try:
        weights = _read(path)
        sam: Sam = build_tiny_sam() if model == "tiny" else sam_model_registry[model]()
        sam.load_state_dict(weights)
    except UNREADABLE as error:
        why = (str(error).splitlines() or ["it ends too early"])[0][:100]
        raise UserError(
            f"{path} does not hold the weights of sam.model {model} ({why}): "
            "put the published file there, or delete it"
        ) from error
    return sam.to(device).eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
