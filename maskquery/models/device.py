"""The device that models run on, from the environment.

The device is not a parameter: results agree up to rounding, so changing it invalidates no stage.
Torch is imported inside functions.
"""

import os
import sys
from typing import TYPE_CHECKING

from maskquery.core.errors import UserError

if TYPE_CHECKING:
    import torch

VARIABLE = "MASKQUERY_DEVICE"


def pick() -> "torch.device":
    """The device that $MASKQUERY_DEVICE names ("cpu", "cuda:1"), else CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    # By torch's default a GPU's convolutions round float32 to 10 bits (TF32).
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
    """Whether a device has bfloat16 instructions; without them float32 is faster."""
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
            f"{VARIABLE}={wish}: torch cannot use it ({str(error).splitlines()[0]})",
            "set it to cpu, cuda or mps, or unset it",
        ) from error
    return device


def has_lost_device(error: Exception) -> bool:
    """True for errors of a GPU, or of its memory, which would recur with any other image."""
    torch = sys.modules.get("torch")  # no import: without a model there is no such error
    return torch is not None and isinstance(error, (torch.AcceleratorError, torch.OutOfMemoryError))


def thread_count() -> int:
    """The number of threads that torch uses on the CPU."""
    import torch

    return torch.get_num_threads()
