"""The last step of CLIP's image encoders, where many tokens become one, without the others' work.

Upstream computes the step for every token and then takes the first. The results are equal but for
rounding; the weights are those of the module that is replaced.

Letters of shapes: T tokens, B images, D features, N heads of K = D / N features each.
"""

from typing import Any

import torch
from torch import Tensor, nn

from maskquery.clip.openai import AttentionPool2d, ModifiedResNet, ResidualAttentionBlock


class FirstToken(nn.Module):
    """The last block of a vision transformer for the first token: (T, B, D) to (1, B, D).

    All tokens are still its keys and values.
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

    There is one query, the mean. Its head n scores token x by q_n (W_n x + b_n): W_n' q_n is taken
    first, once and not for each token, and b_n, which raises all scores alike, is left out. Values
    are summed before they are projected, for the weights' sum is 1.
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
        pooled = (scores.softmax(dim=-1) @ tokens).transpose(0, 1)  # (N, B, D)
        values = pool.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (N, D, K)
        found = torch.bmm(pooled, values).transpose(0, 1).flatten(1) + pool.v_proj.bias
        result: Tensor = pool.c_proj(found)
        return result


def replace(visual: Any) -> None:
    """Let an image encoder of OpenAI's, a ResNet or a vision transformer, do its last step so."""
    if isinstance(visual, ModifiedResNet):
        visual.attnpool = AttentionPool(visual.attnpool)
    else:
        blocks = visual.transformer.resblocks
        blocks[-1] = FirstToken(blocks[-1])
