"""MobileSAM: SAM's prompt encoder and mask decoder around a small image encoder, TinyViT.

Modules have the names of the published checkpoint. Sources: Zhang et al. 2023 (arXiv:2306.14289),
Wu et al. 2022 (TinyViT, arXiv:2207.10666), and https://github.com/ChaoningZhang/MobileSAM.

Letters: B images or windows, S tokens a side, W a window's side, C channels, E heads.
"""

import torch
import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

IMAGE_SIZE = 1024
GRID = 64  # tokens along each side of the embedding
PROMPT_DIM = 256
CHANNELS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)

CLASSIFIER = tuple(
    f"image_encoder.{name}.{kind}" for name in ("norm_head", "head") for kind in ("weight", "bias")
)
"""Weights of the checkpoint that nothing uses: those that TinyViT classified images with."""


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm, `c` and `bn`."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1):
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.add_module("c", convolution)
        self.add_module("bn", nn.BatchNorm2d(outputs))


class PatchEmbed(nn.Module):
    """Images (B, 3, H, W) to (B, C, H / 4, W / 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.seq = nn.Sequential(ConvNorm(3, half, 3, 2), nn.GELU(), ConvNorm(half, channels, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.seq(x)
        return out


class Inverted(nn.Module):
    """An inverted bottleneck (MBConv) beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.conv1 = ConvNorm(channels, hidden, 1)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return F.gelu(inner + x)


class Merge(nn.Module):
    """To the next stage's channels, and to half the size unless these are the last."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if outputs == CHANNELS[-1] else 2
        self.conv1 = ConvNorm(channels, outputs, 1)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


class Attention(nn.Module):
    """Attention within a window, with a learned bias for each distance of two tokens."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        # Distances are numbered row by row, as they first occur from a window's first token.
        y, x = torch.arange(window**2) // window, torch.arange(window**2) % window
        distances = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.distances: Tensor
        self.register_buffer("distances", distances, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, W W, C) to the same."""
        qkv = self.qkv(self.norm(x)).unflatten(-1, (self.heads, 3, -1))
        q, k, v = qkv.permute(3, 0, 2, 1, 4)  # (B, E, W W, C / E) each
        bias = self.attention_biases[:, self.distances]
        values = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.proj(values.transpose(1, 2).flatten(2))
        return out


class Perceptron(nn.Module):
    """Norm and two linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class Block(nn.Module):
    """Attention in windows, a convolution of each channel, a perceptron."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = Attention(channels, heads, window)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)
        self.mlp = Perceptron(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to the same."""
        x = x + self._attend(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.local_conv(x).permute(0, 2, 3, 1)
        return (x + self.mlp(x)).permute(0, 3, 1, 2)

    def _attend(self, x: Tensor) -> Tensor:
        """(B, S, S, C), padded with zeros to whole windows, which take part."""
        side, window = x.shape[1], self.window
        count = -(-side // window)
        beyond = count * window - side
        x = F.pad(x, (0, 0, 0, beyond, 0, beyond))
        x = x.unflatten(2, (count, window)).unflatten(1, (count, window)).transpose(2, 3)
        shape = x.shape  # (B, count, count, W, W, C)
        x = self.attn(x.reshape(-1, window**2, shape[-1])).view(shape)
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :side, :side]


class Stage(nn.Module):
    """The blocks of one size, and the step to the next."""

    def __init__(self, number: int) -> None:
        super().__init__()
        channels, depth = CHANNELS[number], DEPTHS[number]
        self.blocks = nn.ModuleList(
            Block(channels, HEADS[number], WINDOWS[number]) if number else Inverted(channels)
            for _ in range(depth)
        )
        last = number + 1 == len(CHANNELS)
        self.downsample = None if last else Merge(channels, CHANNELS[number + 1])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if self.downsample else x


class TinyViT(nn.Module):
    """MobileSAM's image encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size = IMAGE_SIZE  # read by `Sam` for resizing and padding
        self.patch_embed = PatchEmbed(CHANNELS[0])
        self.layers = nn.ModuleList(Stage(number) for number in range(len(CHANNELS)))
        self.neck = nn.Sequential(
            nn.Conv2d(CHANNELS[-1], PROMPT_DIM, 1, bias=False),
            LayerNorm2d(PROMPT_DIM),
            nn.Conv2d(PROMPT_DIM, PROMPT_DIM, 3, padding=1, bias=False),
            LayerNorm2d(PROMPT_DIM),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, 1024, 1024), normalised and padded by `Sam`, to (B, 256, 64, 64)."""
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x)
        embedding: Tensor = self.neck(x)
        return embedding.contiguous()


def build_mobile_sam() -> Sam:
    """MobileSAM with random weights, in evaluation mode."""
    sam = Sam(
        image_encoder=TinyViT(),
        prompt_encoder=PromptEncoder(
            embed_dim=PROMPT_DIM,
            image_embedding_size=(GRID, GRID),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=PROMPT_DIM, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=PROMPT_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )
    return sam.eval()
