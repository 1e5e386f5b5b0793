"""Changes to crops while training: colour, light and sharpness shall tell the tiny CLIP little."""

import torch
import torch.nn.functional as F
from torch import Tensor

from maskquery.clip.crops import OPENAI

SHARE = 0.5  # of the crops that have their colours changed


def normalised(crops: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 as CLIP's input (B, 3, S, S) float32."""
    pixels = crops.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in OPENAI[:2])
    return (pixels - mean) / std


def augmented(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Crops (B, 3, S, S) mirrored, moved, recoloured, blurred and with noise; a new tensor.

    Zero is CLIP's mean colour, which pads a crop and hides what is masked: it stays as it is.
    """
    pixels = _moved(pixels, generator)
    filling = pixels.abs().amax(dim=1, keepdim=True) < 0.02
    count = len(pixels)
    for change, share in ((_recoloured, SHARE), (_blurred, 0.2), (_noisy, 0.15), (_sketched, 0.03)):
        chosen = torch.rand(count, generator=generator) < share
        pixels[chosen] = change(pixels[chosen], generator)
    return pixels.masked_fill(filling, 0.0)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return (low + (high - low) * torch.rand(count, generator=generator)).view(-1, 1, 1, 1)


def _moved(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored, and stretched and shifted by up to a tenth."""
    count = len(pixels)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    stretch = torch.exp(0.08 * torch.randn(count, 2, generator=generator))
    shift = 0.06 * torch.randn(count, 2, generator=generator)
    turn = 0.05 * torch.randn(count, 2, generator=generator)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = mirror * stretch[:, 0], stretch[:, 1]
    matrix[:, 0, 1], matrix[:, 1, 0] = turn[:, 0], turn[:, 1]
    matrix[:, :, 2] = shift
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


def _recoloured(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Other saturation, channels mixed a little, other contrast and brightness."""
    count = len(pixels)
    grey = pixels.mean(dim=1, keepdim=True)
    pixels = grey + (pixels - grey) * _uniform(0.0, 1.5, count, generator)
    mixing = torch.eye(3) + 0.12 * torch.randn(count, 3, 3, generator=generator)
    pixels = torch.einsum("bij,bjhw->bihw", mixing, pixels)
    pixels = pixels * _uniform(0.6, 1.4, count, generator)
    return pixels + 0.35 * torch.randn(count, 1, 1, 1, generator=generator)


def _blurred(pixels: Tensor, generator: torch.Generator) -> Tensor:
    soft = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    share = _uniform(0.3, 1.0, len(pixels), generator)
    return pixels + (soft - pixels) * share


def _noisy(pixels: Tensor, generator: torch.Generator) -> Tensor:
    strength = _uniform(0.0, 0.25, len(pixels), generator)
    return pixels + strength * torch.randn(pixels.shape, generator=generator)


def _sketched(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Edges alone, dark on light or light on dark."""
    grey = pixels.mean(dim=1, keepdim=True)
    low = F.avg_pool2d(grey, 3, stride=1, padding=1, count_include_pad=False)
    edges = ((grey - low).abs() * 4).clamp(max=1.5)
    sign = torch.where(_uniform(0, 1, len(pixels), generator) < 0.7, -2.0, 2.0)
    return (edges * sign - sign / 2).expand_as(pixels)
