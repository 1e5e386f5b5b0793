"""SAM's published image encoders with fused attention, on upstream's weights.

Upstream's `Attention` computes the logits of all heads, adds the relative positions of rows and of
columns in two passes, and applies the softmax in another. At 64 x 64 tokens and 12 heads each of
these tensors takes 0.8 GB. Here torch's `scaled_dot_product_attention` stores none of them:

* On the CPU the positions are its additive mask, for a part of the queries at a time
  (`attend_with_mask`).
* Elsewhere they are further channels of queries and keys, so that flash attention, which takes no
  mask, can be used (`attend_with_channels`): with q' = [scale q, row terms, column terms] and
  k' = [k, 1 at its row, 1 at its column], q' k' = scale q k + row term + column term.

Upstream pads images to whole windows before it projects tokens. Padding is zero, so its projection
is the bias: here only the image's tokens are projected.

Results equal upstream's up to float rounding. Letters: B images or windows, S tokens a side,
E heads, D channels a head, C = E D channels.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import (
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import Tensor, nn

QUERIES = 512  # whose mask is in memory at a time on the CPU: 100 MB for vit_b


def fuse_encoder(encoder: nn.Module, *, bf16: bool) -> Callable[[Tensor], Tensor]:
    """A function that computes `encoder`, with fused attention if it is a published one.

    Args:
        encoder: takes images (B, 3, S, S) float32; it is not changed.
        bf16: compute in bfloat16, on a copy of the weights. That is faster on GPUs made for it, and
            has 8 bits of precision. float16 has too small a range for these weights.

    Returns:
        Takes what `encoder` takes and returns what it returns, (B, C', G, G) float32. The encoder
        itself if there is nothing to change.
    """
    model = copy.deepcopy(encoder).bfloat16() if bf16 else encoder
    run = FusedEncoder(model) if isinstance(model, ImageEncoderViT) else model
    return (lambda pixels: run(pixels.bfloat16()).float()) if bf16 else run


class FusedEncoder:
    """Computes what `encoder(pixels)` computes, up to float rounding.

    Args:
        encoder: vit_b, vit_l, vit_h or one of another size, with relative positions.
    """

    def __init__(self, encoder: ImageEncoderViT) -> None:
        self._encoder = encoder
        grid = encoder.img_size // encoder.patch_embed.proj.stride[0]
        self._positions = [_positions(block, grid) for block in encoder.blocks]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised and padded by `Sam`, to (B, C', S, S)."""
        x = self._encoder.patch_embed(pixels)
        if self._encoder.pos_embed is not None:
            x = x + self._encoder.pos_embed
        for block, (rows, columns) in zip(self._encoder.blocks, self._positions, strict=True):
            x = x + _attention(block, block.norm1(x), rows, columns)
            x = x + block.mlp(block.norm2(x))
        embedding: Tensor = self._encoder.neck(x.permute(0, 3, 1, 2))
        return embedding


def _positions(block: Any, grid: int) -> tuple[Tensor, Tensor]:
    """Embeddings of relative rows and of relative columns: (S, S, D) each, query by key."""
    side = block.window_size or grid
    with torch.no_grad():
        rows, columns = (
            get_rel_pos(side, side, table) for table in (block.attn.rel_pos_h, block.attn.rel_pos_w)
        )
    return rows, columns


def _attention(block: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`block.attn` of tokens (B, S, S, C), in windows if the block has them."""
    layer, size = block.attn, x.shape[1:3]
    projected = F.linear(x, layer.qkv.weight)
    if block.window_size:
        projected, padded_size = window_partition(projected, block.window_size)
    if layer.qkv.bias is not None:
        projected = projected + layer.qkv.bias
    tokens = projected.flatten(1, 2).unflatten(-1, (3, layer.num_heads, -1))
    q, k, v = tokens.permute(2, 0, 3, 1, 4)  # (B, E, S S, D) each
    attend = attend_with_mask if x.device.type == "cpu" else attend_with_channels
    values = attend(q, k, v, *position_terms(q, rows, columns))
    values = values.transpose(1, 2).reshape(*projected.shape[:3], -1)
    if block.window_size:
        values = window_unpartition(values, block.window_size, padded_size, size)
    out: Tensor = layer.proj(values)
    return out


def position_terms(q: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What each query adds to the logits of a row of keys, and of a column: (B, E, S S, S) each."""
    side = len(rows)
    grid = q.unflatten(2, (side, side))
    by_row = torch.einsum("beyxd,ykd->beyxk", grid, rows).flatten(2, 3)
    by_column = torch.einsum("beyxd,xkd->beyxk", grid, columns).flatten(2, 3)
    return by_row, by_column


def attend_with_mask(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attention with relative positions as an additive mask, for `QUERIES` queries at a time.

    The plain version, whose `logits` need 0.8 GB for vit_b:

    >>> def reference(q, k, v, by_row, by_column):
    ...     logits = q @ k.mT * q.shape[-1] ** -0.5  # (B, E, S S, S S)
    ...     logits += (by_row[..., :, None] + by_column[..., None, :]).flatten(3)
    ...     return logits.softmax(dim=-1) @ v
    >>> q, k, v = torch.randn(3, 2, 5, 16, 8, dtype=torch.float64)  # S = 4, D = 8
    >>> by_row, by_column = torch.randn(2, 2, 5, 16, 4, dtype=torch.float64)
    >>> expected = reference(q, k, v, by_row, by_column)
    >>> for attend in (attend_with_mask, attend_with_channels):
    ...     torch.testing.assert_close(attend(q, k, v, by_row, by_column), expected)

    Args:
        q: queries (B, E, S S, D).
        k: keys, of the same shape.
        v: values, of the same shape.
        by_row: (B, E, S S, S), see `position_terms`.
        by_column: of the same shape.

    Returns:
        (B, E, S S, D).
    """
    values = torch.empty_like(q)
    for start in range(0, q.shape[2], QUERIES):
        part = slice(start, start + QUERIES)
        mask = (by_row[:, :, part, :, None] + by_column[:, :, part, None, :]).flatten(3)
        values[:, :, part] = F.scaled_dot_product_attention(q[:, :, part], k, v, attn_mask=mask)
    return values


def attend_with_channels(
    q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor
) -> Tensor:
    """As `attend_with_mask`, with the positions as further channels of queries and keys.

    Values are padded with as many channels, as flash attention needs.
    """
    side, channels = by_row.shape[-1], q.shape[-1]
    one_hot = torch.eye(side, dtype=k.dtype, device=k.device)
    at_row = one_hot.repeat_interleave(side, dim=0).expand(*k.shape[:2], -1, -1)
    at_column = one_hot.repeat(side, 1).expand(*k.shape[:2], -1, -1)
    queries = torch.cat([q * channels**-0.5, by_row, by_column], dim=-1)
    keys = torch.cat([k, at_row, at_column], dim=-1)
    padded = F.pad(v, (0, 2 * side))
    return F.scaled_dot_product_attention(queries, keys, padded, scale=1.0)[..., :channels]
