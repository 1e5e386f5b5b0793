"""SAM's mask decoder for many points of one image, on upstream's weights.

Upstream computes for each prompt the positional encoding and the first layer's projections of the
image tokens, which are the same for all prompts: here they are computed once. Upstream also
computes mask 0 and upscales every prompt's masks: here mask 0 is left out, and only prompts with a
mask that is kept are upscaled.

A prompt has 7 tokens, an image hundreds or thousands, so the later layers' projections of the image
tokens (keys, values, queries) cost the most. By associativity they move to the prompt's tokens:
`q (W_k x)^T = (q W_k) x^T`, and with attention weights p that sum to one,
`p (W_v x + b) = (p x) W_v + b`. A key's bias shifts all logits of a softmax equally and cancels.
Results equal upstream's up to float rounding, without a projected copy of the image tokens.

A transposed convolution whose stride is its kernel's size has no overlaps: it is one matrix product
for each pixel, which takes a sixth of the time.

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
    """The decoder's output for B prompts before upscaling, which costs the most.

    Attributes:
        predicted_iou: (B, 3), of masks 1 to 3.
        weights: (B, 3, C / 8); a mask's logits are its weights times the upscaled channels.
        image_tokens: (B, N, C), after the transformer.
    """

    predicted_iou: Tensor
    weights: Tensor
    image_tokens: Tensor


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
        # An image token becomes 2 x 2 pixels, and each of these 2 x 2 again. `_order` lists where
        # the pixels of a mask, row by row, are among them. With a permutation of six axes instead,
        # which takes 8 times as long, the tiny SAM takes 3 % more time for an image.
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
        """Project an image's embedding (1, C, G, G) for the first layer; `decode` is about it."""
        layer = self._transformer.layers[0]
        read, write = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self._keys = embedding[0].flatten(1).T + self._no_mask  # (N, C)
        positioned = self._keys + self._position
        self._first_keys = _by_head(read, read.k_proj(positioned)).mT.contiguous()  # (E, D, N)
        self._first_values = _by_head(read, read.v_proj(self._keys))  # (E, N, D)
        self._first_queries = _by_head(write, write.q_proj(positioned)).mT.contiguous()  # (E, D, N)

    def decode(self, points: Tensor) -> Decoded:
        """Run transformer and heads on points.

        Args:
            points: (B, 2), x, y in the model's input pixels.
        """
        labels = torch.ones(len(points), 1, device=points.device)
        prompts, _ = self._encode_prompt((points[:, None], labels), boxes=None, masks=None)
        output = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(points), -1, -1), prompts], dim=1)  # (B, T, C)
        first, *others = self._transformer.layers
        queries = first.norm1(first.self_attn(tokens, tokens, tokens))
        queries = self._update(first, queries, self._first_read(queries + tokens))
        keys = first.norm4(self._first_write(queries + tokens, queries))  # (B, N, C)
        positioned = keys + self._position
        for layer in others:
            query = queries + tokens
            queries = layer.norm1(queries + layer.self_attn(query, query, queries))
            read = _read(layer.cross_attn_token_to_image, queries + tokens, positioned, keys)
            queries = self._update(layer, queries, read)
            write = layer.cross_attn_image_to_token
            keys = layer.norm4(_write(write, positioned, queries + tokens, queries, keys))
            positioned = keys + self._position
        last = self._transformer.final_attn_token_to_image
        read = _read(last, queries + tokens, positioned, keys)
        queries = self._transformer.norm_final_attn(queries + read)
        heads = list(enumerate(self._decoder.output_hypernetworks_mlps))[1:]
        weights = torch.stack([mlp(queries[:, 1 + index]) for index, mlp in heads], dim=1)
        return Decoded(self._decoder.iou_prediction_head(queries[:, 0])[:, 1:], weights, keys)

    def masks(self, decoded: Decoded, keep: Tensor) -> Tensor:
        """The logits of some masks, prompt by prompt.

        Args:
            decoded: of B prompts.
            keep: (B, 3) bool, which of their masks to compute; M are.

        Returns:
            (M, L, L).
        """
        has_mask = keep.any(dim=1)  # P of the B prompts
        up, norm, activate, up_again, _ = self._decoder.output_upscaling
        x = _enlarge(up, decoded.image_tokens[has_mask])  # (P, N, 4, C / 4)
        x = F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
        x = activate(_enlarge(up_again, activate(x)))  # (P, N, 4, 4, C / 8)
        logits = decoded.weights[has_mask] @ x.flatten(1, 3).mT  # (P, 3, 16 N)
        masks = logits[keep[has_mask]].index_select(1, self._order)
        return masks.unflatten(1, (self.low_resolution, self.low_resolution))

    @staticmethod
    def _update(layer: Any, queries: Tensor, read: Tensor) -> Tensor:
        """Add what tokens (B, T, C) read from the image, then apply the layer's perceptron."""
        queries = layer.norm2(queries + read)
        out: Tensor = layer.norm3(queries + layer.mlp(queries))
        return out

    def _first_read(self, query: Tensor) -> Tensor:
        """As `_read`, from the image tokens that all prompts share: (B, T, C) to (B, T, C)."""
        layer = self._transformer.layers[0].cross_attn_token_to_image
        q = _by_head(layer, layer.q_proj(query).flatten(0, 1))  # (E, B T, D)
        weights = torch.softmax(_scale(q) @ self._first_keys, dim=-1)
        values = (weights @ self._first_values).transpose(0, 1).flatten(1)
        out: Tensor = layer.out_proj(values)
        return out.view(query.shape)

    def _first_write(self, query: Tensor, value: Tensor) -> Tensor:
        """As `_write`, to the image tokens that all prompts share: (B, T, C) to (B, N, C)."""
        layer = self._transformer.layers[0].cross_attn_image_to_token
        k = _by_head(layer, layer.k_proj(query).flatten(0, 1))  # (E, B T, D)
        logits = (_scale(k) @ self._first_queries).unflatten(1, (len(query), -1))
        weights = torch.softmax(logits, dim=2).transpose(0, 1)  # (B, E, T, N)
        return torch.baddbmm(self._keys, weights.flatten(1, 2).mT, _updates(layer, value))


def _by_head(layer: Attention, projected: Tensor) -> Tensor:
    """(rows, E D) to (E, rows, D)."""
    return projected.unflatten(-1, (layer.num_heads, -1)).transpose(0, 1)


def _scale(x: Tensor) -> Tensor:
    """Scale queries or keys (..., D) so that their products are an attention's logits."""
    return x * x.shape[-1] ** -0.5


def _weight_by_head(layer: Attention, projection: nn.Linear) -> Tensor:
    """An input projection's weight as (E, D, C)."""
    return projection.weight.unflatten(0, (layer.num_heads, -1))


def _probes(layer: Attention, projected: Tensor, other: nn.Linear) -> Tensor:
    """Projected tokens (B, T, E D) times the other side's projection: (B, E T, C)."""
    tokens = _scale(_by_head(layer, projected.flatten(0, 1)))
    probes = tokens @ _weight_by_head(layer, other)  # (E, B T, C)
    return probes.unflatten(1, projected.shape[:2]).transpose(0, 1).flatten(1, 2)


def _read(layer: Attention, query: Tensor, positioned: Tensor, keys: Tensor) -> Tensor:
    """Tokens attend to image tokens.

    The plain version is upstream's layer:

    >>> layer = Attention(embedding_dim=8, num_heads=2, downsample_rate=2).double()
    >>> query = torch.randn(3, 7, 8, dtype=torch.float64)  # B = 3, T = 7, C = 8
    >>> positioned, keys = torch.randn(2, 3, 16, 8, dtype=torch.float64)  # N = 16
    >>> expected = layer(query, positioned, keys)
    >>> torch.testing.assert_close(_read(layer, query, positioned, keys), expected)

    Args:
        layer: its weights.
        query: (B, T, C).
        positioned: (B, N, C), `keys` plus their positional encoding.
        keys: (B, N, C).

    Returns:
        (B, T, C).
    """
    probes = _probes(layer, layer.q_proj(query), layer.k_proj)
    weights = torch.softmax(probes @ positioned.mT, dim=-1)  # (B, E T, N)
    means = (weights @ keys).unflatten(1, (layer.num_heads, -1)).transpose(0, 1).flatten(1, 2)
    values = means @ _weight_by_head(layer, layer.v_proj).mT  # (E, B T, D)
    values = values.transpose(0, 1).flatten(1) + layer.v_proj.bias
    out: Tensor = layer.out_proj(values)
    return out.view(query.shape)


def _write(
    layer: Attention, positioned: Tensor, query: Tensor, value: Tensor, keys: Tensor
) -> Tensor:
    """Image tokens attend to tokens, and what they read is added to them.

    The plain version:

    >>> layer = Attention(embedding_dim=8, num_heads=2, downsample_rate=2).double()
    >>> query, value = torch.randn(2, 3, 7, 8, dtype=torch.float64)  # B = 3, T = 7, C = 8
    >>> positioned, keys = torch.randn(2, 3, 16, 8, dtype=torch.float64)  # N = 16
    >>> expected = keys + layer(positioned, query, value)
    >>> torch.testing.assert_close(_write(layer, positioned, query, value, keys), expected)

    Args:
        layer: its weights.
        positioned: (B, N, C), `keys` plus their positional encoding.
        query: (B, T, C), the tokens plus their positional encoding: the attention's keys.
        value: (B, T, C).
        keys: (B, N, C).

    Returns:
        (B, N, C).
    """
    projected = layer.k_proj(query)
    probes = _probes(layer, projected, layer.q_proj)
    k = _scale(projected.unflatten(-1, (layer.num_heads, -1)))  # (B, T, E, D)
    shift = (k * layer.q_proj.bias.view(layer.num_heads, -1)).sum(-1).mT.flatten(1)  # (B, E T)
    logits = torch.baddbmm(shift[..., None], probes, positioned.mT)  # (B, E T, N)
    weights = torch.softmax(logits.unflatten(1, (layer.num_heads, -1)), dim=2).flatten(1, 2)
    return torch.baddbmm(keys, weights.mT, _updates(layer, value))


def _updates(layer: Attention, value: Tensor) -> Tensor:
    """What each head adds to an image token that attends to one token alone: (B, E T, C).

    The output's bias is divided equally among the heads, as the weights of each sum to one.
    """
    v = _by_head(layer, layer.v_proj(value).flatten(0, 1))  # (E, B T, D)
    outwards = layer.out_proj.weight.unflatten(1, (layer.num_heads, -1)).permute(1, 2, 0)
    updates = v @ outwards + layer.out_proj.bias / layer.num_heads  # (E, B T, C)
    return updates.unflatten(1, value.shape[:2]).transpose(0, 1).flatten(1, 2)


def _enlarge(layer: Any, x: Tensor) -> Tensor:
    """A 2 x 2 transposed convolution of stride 2.

    The plain version works on an image (B, C, H, W), this one on pixels:

    >>> layer = nn.ConvTranspose2d(6, 5, kernel_size=2, stride=2).double()  # C = 6, O = 5
    >>> image = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    >>> expected = layer(image)  # (1, O, 6, 8)
    >>> pixels = _enlarge(layer, image.permute(0, 2, 3, 1)).unflatten(3, (2, 2))  # 1, 3, 4, 2, 2, O
    >>> enlarged = pixels.permute(0, 5, 1, 3, 2, 4).reshape(1, 5, 6, 8)
    >>> torch.testing.assert_close(enlarged, expected)

    Args:
        layer: an `nn.ConvTranspose2d`.
        x: pixels (..., C).

    Returns:
        (..., 4, O): each pixel's upper left, upper right, lower left and lower right.
    """
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 O, C)
    return F.linear(x, weight, layer.bias.repeat(4)).unflatten(-1, (4, -1))
