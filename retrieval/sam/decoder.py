"""SAM's mask decoder for many points of one image, on upstream's weights.

What upstream computes per prompt although it is the same for all of them is computed once: the
positional encoding and the first layer's image tokens. What it computes and throws away is not
computed: mask 0, and the up-scaling for prompts none of whose masks can be kept.

A prompt has 7 tokens, an image hundreds or thousands, so the projections of the image tokens
(keys, values, queries) cost the most. By associativity they move to the token side:
`q (W_k x)^T = (q W_k) x^T`, and with attention weights p that sum to one,
`p (W_v x + b) = (p x) W_v + b`. A key's bias shifts all logits of a softmax alike and falls out.
The same numbers up to float rounding, with no projected copy of the image tokens.

Letters: B prompts, T tokens a prompt (IoU, 4 masks, point, padding), N image tokens, C channels,
E heads, D channels a head.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention
from torch import Tensor


@dataclass(frozen=True)
class Decoded:
    """A batch of prompts, up to the point where masks begin to cost."""

    predicted_iou: Tensor  # (B, 3)
    weights: Tensor  # (B, 3, C / 8) of the up-scaled channels, one row a mask
    image_tokens: Tensor  # (B, N, C)


def _split(layer: Attention, projection: torch.nn.Linear) -> Tensor:
    """An input projection's weight as (E, D, C)."""
    return projection.weight.unflatten(0, (layer.num_heads, -1))


def _read(layer: Attention, query: Tensor, placed: Tensor, keys: Tensor) -> Tensor:
    """Tokens (B, T, C) attend to image tokens: what `layer(query, placed, keys)` gives.

    `placed` is `keys` with their positions; both (B, N, C), or (1, N, C) when all prompts share them.
    """
    heads = layer.num_heads
    q = layer.q_proj(query).unflatten(-1, (heads, -1))  # (B, T, E, D)
    scale = q.shape[-1] ** -0.5
    probes = torch.einsum("bted,edc->betc", q * scale, _split(layer, layer.k_proj)).flatten(1, 2)
    weights = torch.softmax(probes @ placed.transpose(1, 2), dim=-1)  # (B, E T, N)
    found = (weights @ keys).unflatten(1, (heads, -1))  # (B, E, T, C)
    out = torch.einsum("betc,edc->bted", found, _split(layer, layer.v_proj)).flatten(2)
    return layer.out_proj(out + layer.v_proj.bias)


def _write(layer: Attention, placed: Tensor, query: Tensor, value: Tensor, keys: Tensor) -> Tensor:
    """Image tokens attend to tokens (B, T, C): `keys + layer(placed, query, value)`."""
    heads = layer.num_heads
    k = layer.k_proj(query).unflatten(-1, (heads, -1))  # (B, T, E, D)
    k = k * k.shape[-1] ** -0.5
    probes = torch.einsum("bted,edc->btec", k, _split(layer, layer.q_proj)).flatten(1, 2)
    shift = (k * layer.q_proj.bias.view(heads, -1)).sum(-1).flatten(1)  # (B, T E)
    logits = probes @ placed.transpose(1, 2) + shift[..., None]  # (B, T E, N)
    weights = torch.softmax(logits.unflatten(1, (-1, heads)), dim=1).flatten(1, 2)
    v = layer.v_proj(value).unflatten(-1, (heads, -1))
    out_weight = layer.out_proj.weight.unflatten(1, (heads, -1))  # (C, E, D)
    moves = torch.einsum("bted,ced->btec", v, out_weight).flatten(1, 2)  # (B, T E, C)
    return (keys + layer.out_proj.bias) + weights.transpose(1, 2) @ moves


class PointDecoder:
    """Decodes point prompts of one image after the other.

    Args:
        sam: the model; its prompt encoder and mask decoder are used as they are.
    """

    def __init__(self, sam: Sam) -> None:
        self.sam = sam
        self.decoder = sam.mask_decoder
        self.transformer = sam.mask_decoder.transformer
        self.position = sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)  # (1, N, C)
        self.no_mask = sam.prompt_encoder.no_mask_embed.weight.reshape(1, 1, -1)

    @property
    def low_resolution(self) -> int:
        """L, the side of the mask logits."""
        return 4 * int(self.sam.prompt_encoder.image_embedding_size[0])

    def set_image(self, embedding: Tensor) -> None:
        """Take an image's embedding (1, C, G, G) and project it for the first layer."""
        self.grid = embedding.shape[-2:]
        self.keys = embedding.flatten(2).transpose(1, 2) + self.no_mask  # (1, N, C)

    def decode(self, points: Tensor) -> Decoded:
        """Points (B, 2) x, y in the model's input pixels, through transformer and heads."""
        prompts, _ = self.sam.prompt_encoder(
            points=(points[:, None], torch.ones(len(points), 1, device=points.device)),
            boxes=None,
            masks=None,
        )
        output = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(points), -1, -1), prompts], dim=1)  # (B, T, C)
        queries, keys = tokens, self.keys
        for index, layer in enumerate(self.transformer.layers):
            if index == 0:
                queries = layer.norm1(layer.self_attn(q=queries, k=queries, v=queries))
            else:
                placed = queries + tokens
                queries = layer.norm1(queries + layer.self_attn(q=placed, k=placed, v=queries))
            image = keys + self.position
            seen = _read(layer.cross_attn_token_to_image, queries + tokens, image, keys)
            queries = layer.norm2(queries + seen)
            queries = layer.norm3(queries + layer.mlp(queries))
            back = layer.cross_attn_image_to_token
            keys = layer.norm4(_write(back, image, queries + tokens, queries, keys))
        last = self.transformer.final_attn_token_to_image
        seen = _read(last, queries + tokens, keys + self.position, keys)
        queries = self.transformer.norm_final_attn(queries + seen)
        weights = torch.stack(
            [mlp(queries[:, 1 + i]) for i, mlp in self._mask_heads()], dim=1
        )
        scores = self.decoder.iou_prediction_head(queries[:, 0])[:, 1:]
        return Decoded(scores, weights, keys)

    def masks(self, decoded: Decoded, keep: Tensor) -> Tensor:
        """Logits (M, 4G, 4G) of the masks that `keep` (B, 3) bool chooses, prompt by prompt."""
        used = keep.any(dim=1)
        count = int(used.sum())
        tokens = decoded.image_tokens[used].transpose(1, 2)
        upscaled = self.decoder.output_upscaling(tokens.reshape(count, -1, *self.grid))
        logits = decoded.weights[used] @ upscaled.flatten(2)
        return logits[keep[used]].unflatten(-1, upscaled.shape[-2:])

    def _mask_heads(self) -> list[tuple[int, torch.nn.Module]]:
        return list(enumerate(self.decoder.output_hypernetworks_mlps))[1:]
