"""SAM's published image encoders with fused attention, on upstream's weights.

Upstream's `Attention` makes all logits of all heads, adds the relative positions of rows and of
columns in two further passes, and takes the softmax in another: at 64 x 64 tokens and 12 heads each
of these tensors has 0.8 GB. Here attention is torch's own, which keeps none of them.

* On the CPU the positions are its additive mask, made for a part of the queries at a time.
* Elsewhere they become a part of queries and keys, so that no mask is needed and flash attention
  can be used: with q' = [scale q, row terms, column terms] and k' = [k, 1 at its row, 1 at its
  column], q' k' = scale q k + row term + column term.

Upstream pads the tokens that windows do not cover before it projects them. They are zero, so that
their projection is its bias: here only true tokens are projected.

All of this is the same numbers up to float rounding. Letters: B images or windows, S tokens a side,
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

QUERIES = 512  # whose mask is made at a time on the CPU: 100 MB for vit_b


def prepared(encoder: nn.Module, *, bf16: bool) -> Callable[[Tensor], Tensor]:
    """`encoder`, with fused attention if it is a published one: float32 in, float32 out.

    Args:
        encoder: of images (B, 3, H, W); left as it is.
        bf16: compute in bfloat16, on a copy of the weights: faster on GPUs made for it, with 8
            bits of precision. float16 would be no alternative: its range is too small here.
    """
    chosen = copy.deepcopy(encoder).bfloat16() if bf16 else encoder
    run = FusedEncoder(chosen) if isinstance(chosen, ImageEncoderViT) else chosen
    return (lambda pixels: run(pixels.bfloat16()).float()) if bf16 else run


class FusedEncoder:
    """Gives what `encoder` gives.

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
        projected, padded = window_partition(projected, block.window_size)
    if layer.qkv.bias is not None:
        projected = projected + layer.qkv.bias
    tokens = projected.flatten(1, 2).unflatten(-1, (3, layer.num_heads, -1))
    q, k, v = tokens.permute(2, 0, 3, 1, 4)  # (B, E, S S, D) each
    attend = biased if x.device.type == "cpu" else concatenated
    seen = attend(q, k, v, *position_terms(q, rows, columns))
    seen = seen.transpose(1, 2).reshape(*projected.shape[:3], -1)
    if block.window_size:
        seen = window_unpartition(seen, block.window_size, padded, size)
    out: Tensor = layer.proj(seen)
    return out


def position_terms(q: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What each query adds to the logits of a row of keys, and of a column: (B, E, S S, S) each."""
    side = len(rows)
    placed = q.unflatten(2, (side, side))
    by_row = torch.einsum("beyxd,ykd->beyxk", placed, rows).flatten(2, 3)
    by_column = torch.einsum("beyxd,xkd->beyxk", placed, columns).flatten(2, 3)
    return by_row, by_column


def biased(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attention (B, E, S S, D) with the terms as an additive mask, `QUERIES` at a time."""
    seen = torch.empty_like(q)
    for start in range(0, q.shape[2], QUERIES):
        part = slice(start, start + QUERIES)
        mask = (by_row[:, :, part, :, None] + by_column[:, :, part, None, :]).flatten(3)
        seen[:, :, part] = F.scaled_dot_product_attention(q[:, :, part], k, v, attn_mask=mask)
    return seen


def concatenated(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """The same with the terms in queries and keys; values are padded, as flash attention needs."""
    side, channels = by_row.shape[-1], q.shape[-1]
    own = torch.eye(side, dtype=k.dtype, device=k.device)
    at_row = own.repeat_interleave(side, dim=0).expand(*k.shape[:2], -1, -1)
    at_column = own.repeat(side, 1).expand(*k.shape[:2], -1, -1)
    queries = torch.cat([q * channels**-0.5, by_row, by_column], dim=-1)
    keys = torch.cat([k, at_row, at_column], dim=-1)
    values = F.pad(v, (0, 2 * side))
    seen = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
    return seen[..., :channels]
