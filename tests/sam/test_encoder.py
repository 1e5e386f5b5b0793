"""The fused encoder against upstream's, from the same weights."""

from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from maskquery.sam import encoder
from maskquery.sam.encoder import FusedEncoder

Size = tuple[int, int]  # tokens a side, of an image and of a window


@pytest.fixture(params=[(8, 4), (7, 3)], ids=["windows fit", "windows are padded"])
def vit(request: pytest.FixtureRequest) -> ImageEncoderViT:
    """Windows and global attention; random weights, all of which matter, in float64."""
    tokens, window = request.param
    torch.manual_seed(0)
    model = ImageEncoderViT(
        img_size=16 * tokens,
        embed_dim=48,
        depth=3,
        num_heads=3,
        out_chans=16,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=(1,),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.double().eval()


@torch.inference_mode()
@pytest.mark.parametrize("form", ["attend_with_mask", "attend_with_channels"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_are_upstreams(
    vit: ImageEncoderViT, form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of attention, here on the CPU."""
    monkeypatch.setattr(encoder, "attend_with_mask", getattr(encoder, form))
    monkeypatch.setattr(encoder, "QUERIES", 20)  # of 64 or 49: the last part is a smaller one
    vit.to(dtype)
    pixels = torch.randn(2, 3, vit.img_size, vit.img_size, dtype=dtype)
    expected = vit(pixels)
    assert expected.std() > 0.1
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(FusedEncoder(vit)(pixels), expected, rtol=0, atol=tolerance)


@torch.inference_mode()
@pytest.mark.parametrize("missing", ["rel_pos_h", "rel_pos_w", "pos_embed", "qkv"])
def test_every_term_matters(vit: ImageEncoderViT, missing: str) -> None:
    """Else equal numbers would say nothing of them."""
    pixels = torch.randn(1, 3, vit.img_size, vit.img_size, dtype=torch.float64)
    before = FusedEncoder(vit)(pixels)
    for name, parameter in vit.named_parameters():
        if missing in name:
            parameter.zero_()
    assert (FusedEncoder(vit)(pixels) - before).abs().max() > 0.01


@torch.inference_mode()
def test_bfloat16_is_near_and_leaves_the_model_alone(vit: ImageEncoderViT) -> None:
    """As on CUDA, which the tests do without."""
    vit.float()
    pixels = torch.randn(2, 3, vit.img_size, vit.img_size)
    expected = encoder.fuse_encoder(vit, bf16=False)(pixels)
    rounded = encoder.fuse_encoder(vit, bf16=True)(pixels)
    assert rounded.dtype == torch.float32
    assert vit.blocks[0].attn.qkv.weight.dtype == torch.float32
    assert (rounded - expected).abs().max() > 1e-6
    assert torch.cosine_similarity(rounded.flatten(1), expected.flatten(1)).min() > 0.99


def test_other_encoders_stay_as_they_are() -> None:
    assert encoder.fuse_encoder(other := nn.Identity(), bf16=False) is other
