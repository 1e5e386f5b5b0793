"""Where models run. The environment decides it and no parameter does: it changes no result.

Torch is imported inside functions: whoever only asks whether a device broke down needs none.
"""

import os
import sys
from typing import TYPE_CHECKING

from maskquery.core.errors import UserError

if TYPE_CHECKING:
    import torch

VARIABLE = "MASKQUERY_DEVICE"


def pick() -> "torch.device":
    """The device $MASKQUERY_DEVICE names ("cpu", "cuda:1"), else CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    # Float32 is to be float32: by torch's default a GPU's convolutions round to 10 bits (TF32).
    torch.backends.cudnn.allow_tf32 = False
    wish = os.environ.get(VARIABLE)
    if wish:
        return _check(wish)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_bfloat16(device: "torch.device") -> bool:
    """Whether it has instructions for it; without them float32 is faster, by far on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities().items()
    return device.type != "cpu" or any(has for name, has in capabilities if "bf16" in name)


def _check(wish: str) -> "torch.device":
    import torch

    try:
        device = torch.device(wish)
        torch.empty(1, device=device)
    except Exception as error:  # torch raises several kinds, some of them not even RuntimeError
        raise UserError(
            f"{VARIABLE}={wish}: torch cannot use it ({str(error).splitlines()[0]}); "
            "set it to cpu, cuda or mps, or unset it"
        ) from error
    return device


def has_lost_device(error: Exception) -> bool:
    """Whether a GPU broke down or is full, which is not its image's fault and stays so."""
    torch = sys.modules.get("torch")  # not imported here: where no model ran, none broke down
    return torch is not None and isinstance(error, (torch.AcceleratorError, torch.OutOfMemoryError))


def thread_count() -> int:
    """How many threads torch computes with on the CPU."""
    import torch

    return torch.get_num_threads()
