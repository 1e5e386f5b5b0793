import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Normalize, ToTensor

from retrieval.clip import encoder
from retrieval.clip.openai import CLIP, tokenize
from retrieval.errors import UserError


@pytest.fixture(scope="module")
def crops() -> encoder.Pixels:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 100, (9, 64, 64, 3)) + rng.integers(0, 156, (9, 1, 1, 3))
    return noise.astype(np.uint8)


def test_images_as_clip_encodes_them(clip: CLIP, crops: encoder.Pixels) -> None:
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    tensors = [Normalize(mean, std)(ToTensor()(Image.fromarray(crop))) for crop in crops]
    with torch.no_grad():
        expected = clip.encode_image(torch.stack(tensors))
    expected /= expected.norm(dim=-1, keepdim=True)
    ours = encoder.encode_images(clip, crops)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


def test_batches_change_nothing(
    clip: CLIP, crops: encoder.Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = np.concatenate([encoder.encode_images(clip, crop[None]) for crop in crops])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)
    assert np.min(alone @ alone.T) < 0.999  # else the next line would say nothing
    assert np.min(np.sum(alone * encoder.encode_images(clip, crops), axis=1)) >= 0.9999
    monkeypatch.setattr(encoder, "BATCH_PIXELS", 4 * 64 * 64)
    assert encoder.batch_size(clip) == 4
    streamed = np.stack(list(encoder.encode_stream(clip, iter(crops))))
    assert np.min(np.sum(alone * streamed, axis=1)) >= 0.9999


def test_empty_stream(clip: CLIP) -> None:
    assert list(encoder.encode_stream(clip, [])) == []


def test_texts_as_clip_encodes_them(clip: CLIP) -> None:
    prompts = ["a chair", "a photo of a wooden table, in a room"]
    with torch.no_grad():
        expected = clip.encode_text(tokenize(prompts))
    expected /= expected.norm(dim=-1, keepdim=True)
    ours = encoder.encode_texts(clip, prompts)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)
    assert ours.shape == (2, encoder.dimensions(clip))


def test_prompt_that_is_too_long_is_not_cut(clip: CLIP) -> None:
    with pytest.raises(UserError, match=r"'chair chair .*longer than the 77 tokens"):
        encoder.encode_texts(clip, ["a chair", "chair " * 76])
    encoder.encode_texts(clip, ["chair " * 75])
