"""SAM's mask decoder for many points of one image, on upstream's weights.

What upstream computes per prompt although it is the same for all of them is computed once: the
positional encoding, and the first layer's projections of the image tokens. What it computes and
throws away is not computed: mask 0, and the up-scaling for prompts none of whose masks are wanted.

A prompt has 7 tokens, an image hundreds or thousands, so later layers' projections of the image
tokens (keys, values, queries) cost the most. By associativity they move to the token side:
`q (W_k x)^T = (q W_k) x^T`, and with attention weights p that sum to one,
`p (W_v x + b) = (p x) W_v + b`. A key's bias shifts all logits of a softmax alike and falls out.
The same numbers up to float rounding, with no projected copy of the image tokens.

A transposed convolution whose stride is its kernel's size has no overlaps: it is one matrix product
per pixel, and takes a sixth of the time as such.

Letters: B prompts, T tokens a prompt (IoU, 4 masks, point, padding), N = G x G image tokens,
C channels, E heads, D channels a head.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn


@dataclass(frozen=True)
class Decoded:
    """A batch of prompts, up to the point where masks begin to cost."""

    predicted_iou: Tensor  # (B, 3)
    weights: Tensor  # (B, 3, C / 8) of the up-scaled channels, one row a mask
    image_tokens: Tensor  # (B, N, C)


class PointDecoder:
    """Decodes point prompts of one image after the other.

    Args:
        sam: the model; its prompt encoder and mask decoder are used as they are.
    """

    def __init__(self, sam: Sam) -> None:
        self._encode_prompt = sam.prompt_encoder
        self._decoder = sam.mask_decoder
        self._transformer = sam.mask_decoder.transformer
        self._position = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T  # (N, C)
        self._no_mask = sam.prompt_encoder.no_mask_embed.weight  # (1, C)
        self._grid = grid = int(sam.prompt_encoder.image_embedding_size[0])
        # An image token becomes 2 x 2 pixels and each of these 2 x 2 again; `_order` is where the
        # pixels of a mask, row by row, stand among them. Much faster than permuting the axes.
        steps = torch.arange(16 * grid**2, device=sam.device).view(grid, grid, 2, 2, 2, 2)
        self._order = steps.permute(0, 2, 4, 1, 3, 5).flatten()

    @property
    def low_resolution(self) -> int:
        """L = 4 G, the side of the mask logits."""
        return 4 * self._grid

    @property
    def bytes_per_prompt(self) -> int:
        """The size of one prompt's copy of the image tokens, of which a batch holds a few."""
        return self._position.numel() * self._position.element_size()

    def set_image(self, embedding: Tensor) -> None:
        """Take an image's embedding (1, C, G, G) and project it for the first layer."""
        layer = self._transformer.layers[0]
        read, write = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self._keys = embedding[0].flatten(1).T + self._no_mask  # (N, C)
        placed = self._keys + self._position
        self._first_keys = _by_head(read, read.k_proj(placed)).mT.contiguous()  # (E, D, N)
        self._first_values = _by_head(read, read.v_proj(self._keys))  # (E, N, D)
        self._first_queries = _by_head(write, write.q_proj(placed)).mT.contiguous()  # (E, D, N)

    def decode(self, points: Tensor) -> Decoded:
        """Points (B, 2) x, y in the model's input pixels, through transformer and heads."""
        labels = torch.ones(len(points), 1, device=points.device)
        prompts, _ = self._encode_prompt((points[:, None], labels), boxes=None, masks=None)
        output = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(points), -1, -1), prompts], dim=1)  # (B, T, C)
        first, *others = self._transformer.layers
        queries = first.norm1(first.self_attn(tokens, tokens, tokens))
        queries = self._update(first, queries, self._first_read(queries + tokens))
        keys = first.norm4(self._first_write(queries + tokens, queries))  # (B, N, C)
        placed = keys + self._position
        for layer in others:
            own = queries + tokens
            queries = layer.norm1(queries + layer.self_attn(own, own, queries))
            seen = _read(layer.cross_attn_token_to_image, queries + tokens, placed, keys)
            queries = self._update(layer, queries, seen)
            moved = _write(layer.cross_attn_image_to_token, placed, queries + tokens, queries, keys)
            keys = layer.norm4(moved)
            placed = keys + self._position
        last = self._transformer.final_attn_token_to_image
        seen = _read(last, queries + tokens, placed, keys)
        queries = self._transformer.norm_final_attn(queries + seen)
        heads = list(enumerate(self._decoder.output_hypernetworks_mlps))[1:]
        weights = torch.stack([mlp(queries[:, 1 + index]) for index, mlp in heads], dim=1)
        return Decoded(self._decoder.iou_prediction_head(queries[:, 0])[:, 1:], weights, keys)

    def masks(self, decoded: Decoded, keep: Tensor) -> Tensor:
        """Logits (M, L, L) of the masks that `keep` (B, 3) bool chooses, prompt by prompt."""
        used = keep.any(dim=1)
        up, norm, activate, up_again, _ = self._decoder.output_upscaling
        x = _enlarge(up, decoded.image_tokens[used])  # (P, N, 4, C / 4)
        x = F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
        x = activate(_enlarge(up_again, activate(x)))  # (P, N, 4, 4, C / 8)
        logits = decoded.weights[used] @ x.flatten(1, 3).mT  # (P, 3, 16 N)
        wanted = logits[keep[used]].index_select(1, self._order)
        return wanted.unflatten(1, (self.low_resolution, self.low_resolution))

    @staticmethod
    def _update(layer: Any, queries: Tensor, seen: Tensor) -> Tensor:
        """Tokens (B, T, C) after what they saw, through the layer's perceptron."""
        queries = layer.norm2(queries + seen)
        updated: Tensor = layer.norm3(queries + layer.mlp(queries))
        return updated

    def _first_read(self, query: Tensor) -> Tensor:
        """`_read` of the image itself, which all prompts share: (B, T, C) to (B, T, C)."""
        layer = self._transformer.layers[0].cross_attn_token_to_image
        q = _by_head(layer, layer.q_proj(query).flatten(0, 1))  # (E, B T, D)
        weights = torch.softmax(_scaled(q) @ self._first_keys, dim=-1)
        seen: Tensor = layer.out_proj((weights @ self._first_values).transpose(0, 1).flatten(1))
        return seen.view(query.shape)

    def _first_write(self, query: Tensor, value: Tensor) -> Tensor:
        """`_write` on the image itself, which all prompts share: (B, T, C) to (B, N, C)."""
        layer = self._transformer.layers[0].cross_attn_image_to_token
        k = _by_head(layer, layer.k_proj(query).flatten(0, 1))  # (E, B T, D)
        logits = (_scaled(k) @ self._first_queries).unflatten(1, (len(query), -1))
        weights = torch.softmax(logits, dim=2).transpose(0, 1)  # (B, E, T, N)
        return torch.baddbmm(self._keys, weights.flatten(1, 2).mT, _moves(layer, value))


def _by_head(layer: Attention, projected: Tensor) -> Tensor:
    """(rows, E D) to (E, rows, D)."""
    return projected.unflatten(-1, (layer.num_heads, -1)).transpose(0, 1)


def _scaled(x: Tensor) -> Tensor:
    """Queries or keys (..., D), so that their products are an attention's logits."""
    return x * x.shape[-1] ** -0.5


def _weight_by_head(layer: Attention, projection: nn.Linear) -> Tensor:
    """An input projection's weight as (E, D, C)."""
    return projection.weight.unflatten(0, (layer.num_heads, -1))


def _probes(layer: Attention, projected: Tensor, other: nn.Linear) -> Tensor:
    """Projected tokens (B, T, E D) times the other side's projection: (B, E T, C)."""
    tokens = _scaled(_by_head(layer, projected.flatten(0, 1)))
    probes = tokens @ _weight_by_head(layer, other)  # (E, B T, C)
    return probes.unflatten(1, projected.shape[:2]).transpose(0, 1).flatten(1, 2)


def _read(layer: Attention, query: Tensor, placed: Tensor, keys: Tensor) -> Tensor:
    """Tokens (B, T, C) attend to image tokens (B, N, C): what `layer(query, placed, keys)` gives.

    `placed` are the keys with their positions.
    """
    probes = _probes(layer, layer.q_proj(query), layer.k_proj)
    weights = torch.softmax(probes @ placed.mT, dim=-1)  # (B, E T, N)
    found = (weights @ keys).unflatten(1, (layer.num_heads, -1)).transpose(0, 1).flatten(1, 2)
    values = found @ _weight_by_head(layer, layer.v_proj).mT  # (E, B T, D)
    values = values.transpose(0, 1).flatten(1) + layer.v_proj.bias
    seen: Tensor = layer.out_proj(values)
    return seen.view(query.shape)


def _write(layer: Attention, placed: Tensor, query: Tensor, value: Tensor, keys: Tensor) -> Tensor:
    """Image tokens (B, N, C) attend to tokens: `keys + layer(placed, query, value)`."""
    projected = layer.k_proj(query)
    probes = _probes(layer, projected, layer.q_proj)
    k = _scaled(projected.unflatten(-1, (layer.num_heads, -1)))  # (B, T, E, D)
    shift = (k * layer.q_proj.bias.view(layer.num_heads, -1)).sum(-1).mT.flatten(1)  # (B, E T)
    logits = torch.baddbmm(shift[..., None], probes, placed.mT)  # (B, E T, N)
    weights = torch.softmax(logits.unflatten(1, (layer.num_heads, -1)), dim=2).flatten(1, 2)
    return torch.baddbmm(keys, weights.mT, _moves(layer, value))


def _moves(layer: Attention, value: Tensor) -> Tensor:
    """What each token adds to an image token that attends to nothing else: (B, E T, C).

    The bias of the output goes to the heads in equal parts, as each head's weights sum to one.
    """
    v = _by_head(layer, layer.v_proj(value).flatten(0, 1))  # (E, B T, D)
    outwards = layer.out_proj.weight.unflatten(1, (layer.num_heads, -1)).permute(1, 2, 0)
    moves = v @ outwards + layer.out_proj.bias / layer.num_heads  # (E, B T, C)
    return moves.unflatten(1, value.shape[:2]).transpose(0, 1).flatten(1, 2)


def _enlarge(layer: Any, x: Tensor) -> Tensor:
    """A 2 x 2 transposed convolution of stride 2 on pixels (..., C): their 2 x 2 as (..., 4, O)."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 O, C)
    return F.linear(x, weight, layer.bias.repeat(4)).unflatten(-1, (4, -1))
