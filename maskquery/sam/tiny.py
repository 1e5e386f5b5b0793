"""The tiny SAM: SAM's own prompt encoder, mask decoder and `Sam` class around a small encoder.

Only the image encoder is this project's; MobileSAM (Zhang et al. 2023, arXiv:2306.14289) replaces
the encoder in the same way. Sizes: 256 x 256 input, 16 x 16 image tokens, 64 x 64 low-resolution
masks, a quarter of the published models' in each direction.
"""

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

IMAGE_SIZE = 256
STRIDE = 16
PROMPT_DIM = 96


class ConvNorm(nn.Sequential):
    """A 3 x 3 convolution and its batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.activation(self.first(x)))
        return self.activation(y + x)


class TinyImageEncoder(nn.Module):
    """A residual pyramid with attention at stride 32, fused back to stride 16.

    The fusion also takes the finer stages through space-to-depth, so that the 16 x 16 embedding
    carries what the mask decoder needs to draw edges at stride 4.
    """

    def __init__(self, out_channels: int = PROMPT_DIM, img_size: int = IMAGE_SIZE) -> None:
        super().__init__()
        self.img_size = img_size  # read by `Sam` for resizing and padding
        relu = nn.ReLU(inplace=True)
        self.stride4 = nn.Sequential(
            ConvNorm(3, 24, 2), relu, ConvNorm(24, 48, 2), relu, Residual(48)
        )
        self.stride8 = nn.Sequential(ConvNorm(48, 96, 2), relu, Residual(96), Residual(96))
        self.stride16 = nn.Sequential(ConvNorm(96, 160, 2), relu, Residual(160), Residual(160))
        self.stride32 = nn.Sequential(ConvNorm(160, 256, 2), relu)
        tokens = (img_size // (2 * STRIDE)) ** 2
        self.positions = nn.Parameter(torch.randn(1, tokens, 256) * 0.02)
        self.attention = nn.ModuleList(
            nn.TransformerEncoderLayer(
                256, 8, 512, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(3)
        )
        self.up = nn.ConvTranspose2d(256, 160, 2, 2)
        self.from4 = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48 * 16, 96, 1))
        self.from8 = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(96 * 4, 128, 1))
        self.fuse = nn.Sequential(
            nn.Conv2d(160 + 160 + 96 + 128, 192, 1), relu, Residual(192), Residual(192)
        )
        self.neck = nn.Conv2d(192, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed images (B, 3, S, S), normalised and padded by `Sam`, as (B, C, S/16, S/16)."""
        x4 = self.stride4(x.contiguous(memory_format=torch.channels_last))
        x8 = self.stride8(x4)
        x16 = self.stride16(x8)
        x32 = self.stride32(x16)
        tokens = x32.flatten(2).transpose(1, 2) + self.positions  # (B, tokens, 256)
        for layer in self.attention:
            tokens = layer(tokens)
        context = self.up(tokens.transpose(1, 2).reshape(x32.shape))
        fused = self.fuse(torch.cat([x16, context, self.from4(x4), self.from8(x8)], dim=1))
        embedding: Tensor = self.neck(fused)
        return embedding.contiguous()


def build_tiny_sam() -> Sam:
    """The tiny model with random weights, in evaluation mode."""
    grid = IMAGE_SIZE // STRIDE
    sam = Sam(
        image_encoder=TinyImageEncoder(),  # any encoder with `img_size` will do
        prompt_encoder=PromptEncoder(
            embed_dim=PROMPT_DIM,
            image_embedding_size=(grid, grid),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=PROMPT_DIM, mlp_dim=256, num_heads=8
            ),
            transformer_dim=PROMPT_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        ),
    )
    return sam.eval()
