"""The last step of CLIP's image encoders, computed only for the token that becomes the embedding.

Upstream computes the step for every token and then takes the first. Results are equal up to
rounding; the weights are those of the module that is replaced.

Letters of shapes: T tokens, B images, D features, N heads of K = D / N features each.
"""

from typing import Any

import torch
from torch import Tensor, nn

from maskquery.clip.openai import AttentionPool2d, ModifiedResNet, ResidualAttentionBlock


class FirstToken(nn.Module):
    """The last block of a vision transformer, for the first token: (T, B, D) to (1, B, D).

    Keys and values are still those of all tokens. The plain version computes all, and takes one:

    >>> block = ResidualAttentionBlock(d_model=8, n_head=2)
    >>> tokens = torch.randn(5, 3, 8)  # T = 5, B = 3
    >>> torch.testing.assert_close(FirstToken(block)(tokens), block(tokens)[:1])

    Args:
        block: the one that is replaced.
    """

    def __init__(self, block: ResidualAttentionBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        block, normal = self.block, self.block.ln_1(x)
        first = x[:1] + block.attn(normal[:1], normal, normal, need_weights=False)[0]
        result: Tensor = first + block.mlp(block.ln_2(first))
        return result


class AttentionPool(nn.Module):
    """A ResNet's attention pooling: (B, D, h, w) to (B, D').

    The only query is the mean token. Its head n scores token x by q_n (W_n x + b_n): W_n' q_n is
    computed first, once instead of for each token, and b_n, which raises all scores equally, is
    left out. Values are averaged before they are projected, as their weights sum to 1.

    The plain version is upstream's:

    >>> pool = AttentionPool2d(spacial_dim=3, embed_dim=8, num_heads=2, output_dim=6).double()
    >>> features = torch.randn(4, 8, 3, 3, dtype=torch.float64)
    >>> torch.testing.assert_close(AttentionPool(pool)(features), pool(features))

    Args:
        pool: the module that is replaced.
    """

    def __init__(self, pool: AttentionPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        pool, heads = self.pool, self.pool.num_heads
        tokens = x.flatten(2).transpose(1, 2)  # (B, h w, D)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + pool.positional_embedding.to(x.dtype)
        query = pool.q_proj(tokens[:, 0]).unflatten(1, (heads, -1)).transpose(0, 1)  # (N, B, K)
        query = query * query.shape[-1] ** -0.5
        keys = pool.k_proj.weight.unflatten(0, (heads, -1))  # (N, K, D)
        scores = torch.bmm(query, keys).transpose(0, 1) @ tokens.transpose(1, 2)  # (B, N, T)
        pooled = (scores.softmax(dim=-1) @ tokens).transpose(0, 1)  # (N, B, D), weighted means
        values = pool.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (N, D, K)
        projected = torch.bmm(pooled, values).transpose(0, 1).flatten(1) + pool.v_proj.bias
        result: Tensor = pool.c_proj(projected)
        return result


def replace(visual: Any) -> None:
    """Replace the last step of one of OpenAI's image encoders, a ResNet or a vision transformer."""
    if isinstance(visual, ModifiedResNet):
        visual.attnpool = AttentionPool(visual.attnpool)
    else:
        blocks = visual.transformer.resblocks
        blocks[-1] = FirstToken(blocks[-1])
