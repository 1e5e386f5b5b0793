"""The decoder against upstream's own, from the same weights."""

import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn

from maskquery.sam.decoder import Decoded, PointDecoder
from maskquery.sam.tiny import build_tiny_sam


def published_sizes() -> Sam:
    """A SAM whose prompt encoder and mask decoder are as large as those of vit_b, vit_l, vit_h."""
    return Sam(
        image_encoder=nn.Identity(),
        prompt_encoder=PromptEncoder(256, (64, 64), (1024, 1024), 16),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(2, 256, 8, 2048),
            transformer_dim=256,
        ),
    ).eval()


@pytest.fixture(scope="module", params=["tiny", "published"])
def sam(request: pytest.FixtureRequest) -> Sam:
    """Random weights, all of which matter: norms are not initialised to the identity."""
    torch.manual_seed(0)
    model = build_tiny_sam() if request.param == "tiny" else published_sizes()
    with torch.no_grad():
        for module in model.mask_decoder.modules():
            if hasattr(module, "bias") and module.bias is not None:
                module.bias.normal_(0, 0.3)
            if type(module).__name__.startswith("LayerNorm"):
                module.weight.uniform_(0.5, 1.5)
            if isinstance(module, Attention):  # attention to something, and not to everything
                module.q_proj.weight.mul_(4)
                module.k_proj.weight.mul_(4)
    return model


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request: pytest.FixtureRequest, sam: Sam) -> torch.dtype:
    """Of the mask decoder; upstream's prompt encoder works in float32 only."""
    sam.mask_decoder.to(request.param)
    dtype_of_decoder: torch.dtype = request.param
    return dtype_of_decoder


def inputs(sam: Sam, dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor]:
    """An image embedding and (count, 2) points, some outside of the image."""
    torch.manual_seed(1)
    grid = sam.prompt_encoder.image_embedding_size[0]
    embedding = torch.randn(1, sam.mask_decoder.transformer_dim, grid, grid, dtype=dtype)
    return embedding, (torch.rand(count, 2) * 1.2 - 0.1) * sam.prompt_encoder.input_image_size[0]


def upstream(sam: Sam, embedding: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, 3, L, L) and predicted IoU (B, 3)."""
    labels = torch.ones(len(points), 1)
    sparse, dense = sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    dtype = embedding.dtype
    masks, scores = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe().to(dtype),
        sparse_prompt_embeddings=sparse.to(dtype),
        dense_prompt_embeddings=dense.to(dtype),
        multimask_output=True,
    )
    return masks, scores


def decode(sam: Sam, embedding: Tensor, points: Tensor) -> tuple[PointDecoder, Decoded]:
    decoder = PointDecoder(sam)
    decoder.set_image(embedding)
    return decoder, decoder.decode(points)


@torch.inference_mode()
def test_numbers_are_upstreams(sam: Sam, dtype: torch.dtype) -> None:
    embedding, points = inputs(sam, dtype, 3)
    decoder, decoded = decode(sam, embedding, points)
    masks, scores = upstream(sam, embedding, points)
    assert masks.std() > 0.1
    assert scores.std() > 0.01
    ours = decoder.masks(decoded, torch.ones(3, 3, dtype=torch.bool))
    assert ours.shape == (9, decoder.low_resolution, decoder.low_resolution)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4 * float(masks.abs().max())
    torch.testing.assert_close(ours.view_as(masks), masks, rtol=0, atol=tolerance)
    torch.testing.assert_close(decoded.predicted_iou, scores, rtol=0, atol=tolerance)


@torch.inference_mode()
def test_only_what_is_kept(sam: Sam) -> None:
    sam.mask_decoder.double()
    embedding, points = inputs(sam, torch.float64, 4)
    decoder, decoded = decode(sam, embedding, points)
    keep = torch.tensor([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
    expected = upstream(sam, embedding, points)[0][keep]
    torch.testing.assert_close(decoder.masks(decoded, keep), expected, rtol=0, atol=1e-10)
    nothing = decoder.masks(decoded, torch.zeros_like(keep))
    assert nothing.shape == (0, *expected.shape[1:])


@torch.inference_mode()
def test_a_point_does_not_depend_on_the_others(sam: Sam) -> None:
    sam.mask_decoder.double()
    embedding, points = inputs(sam, torch.float64, 5)
    decoder, together = decode(sam, embedding, points)
    for part, index in ((points[:2], slice(0, 2)), (points[2:], slice(2, 5))):
        alone = decoder.decode(part)
        for name in ("predicted_iou", "weights", "image_tokens"):
            ours, theirs = getattr(alone, name), getattr(together, name)[index]
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@torch.inference_mode()
def test_a_new_image_takes_the_old_ones_place(sam: Sam) -> None:
    sam.mask_decoder.double()
    embedding, points = inputs(sam, torch.float64, 2)
    decoder, before = decode(sam, embedding, points)
    decoder.set_image(embedding.flip(0, 2))
    after = decoder.decode(points).predicted_iou
    assert (before.predicted_iou - after).abs().max() > 1e-3
    expected = upstream(sam, embedding.flip(0, 2), points)[1]
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-10)
