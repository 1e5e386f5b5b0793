import copy
from typing import Literal

import numpy as np
import pytest
import torch
from clip.clip import _transform
from PIL import Image
from torchvision.transforms import Normalize, ToTensor

from maskquery.clip import encoder, pooling
from maskquery.clip.crops import OPENAI, cut
from maskquery.clip.openai import CLIP, tokenize
from maskquery.clip.settings import Settings
from maskquery.core.errors import UserError
from maskquery.masks.packed import image_masks, pack

SETTINGS = Settings(
    tier="exact",
    views=("crop", "masked"),
    crop_padding=0.0,
    crop_shape="pad",
    mirrored=False,
    clahe=0,
)


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
    monkeypatch.setattr(encoder, "CPU_BATCH_PIXELS", 4 * 64 * 64)
    parts = encoder.batches(clip, len(crops))
    assert [len(crops[part]) for part in parts] == [3, 3, 3]
    batched = np.concatenate([encoder.encode_images(clip, crops[part]) for part in parts])
    assert np.min(np.sum(alone * batched, axis=1)) >= 0.9999
    assert encoder.batches(clip, 0) == []


def test_prepared_model_is_the_same(clip: CLIP, crops: encoder.Pixels) -> None:
    before = encoder.encode_images(clip, crops)
    prepared = encoder.prepare(copy.deepcopy(clip))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in prepared.visual.modules())
    assert isinstance(prepared.visual.attnpool, pooling.AttentionPool)
    np.testing.assert_allclose(encoder.encode_images(prepared, crops), before, atol=1e-6)


def test_prepared_vision_transformer_is_the_same(crops: encoder.Pixels) -> None:
    torch.manual_seed(0)
    transformer = CLIP(32, 64, 3, 128, 16, 77, 49408, 64, 1, 1).float().eval()
    before = encoder.encode_images(transformer, crops)
    assert np.min(before @ before.T) < 0.99  # else the next line would say nothing
    prepared = encoder.prepare(transformer)
    assert isinstance(prepared.visual.transformer.resblocks[-1], pooling.FirstToken)
    np.testing.assert_allclose(encoder.encode_images(prepared, crops), before, atol=1e-6)


def row_of_masks(clip: CLIP, tier: Literal["exact", "fast"] = "exact") -> np.ndarray:
    """(8, 2, D)."""
    boxes = np.array([[x, 5, x + 20, 40] for x in range(8)], np.int32)
    masks = np.full((8, 50, 8), 255, np.uint8)
    values = {"tier": tier, "views": ("crop", "blurred"), "crop_padding": 0.1, "mirrored": True}
    settings = SETTINGS.model_copy(update=values)
    return encoder.encode_masks(clip, photograph(50, 64), boxes, masks, settings)


def test_tier_fast_is_bfloat16(clip: CLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near the exact embeddings, and not they, on the threads that encode batches."""
    torch.manual_seed(0)
    transformer = CLIP(32, 64, 3, 128, 16, 77, 49408, 64, 1, 1).float().eval()
    monkeypatch.setattr(encoder, "CPU_BATCH_PIXELS", 3 * 64 * 64)
    for model in (clip, transformer):
        exact, fast = row_of_masks(model), row_of_masks(model, "fast")
        assert fast.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(fast, axis=-1), 1, atol=1e-6)
        assert 0.99 <= np.sum(exact * fast, axis=-1).min() < 0.999999


def test_threads_change_nothing(clip: CLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a bit: a batch is computed on one thread, however many there are."""
    monkeypatch.setattr(encoder, "CPU_BATCH_PIXELS", 3 * 64 * 64)
    result = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        result.append(row_of_masks(clip))
    np.testing.assert_array_equal(result[0], result[1])
    # In the order of work that a GPU has.
    monkeypatch.setattr(encoder, "_on_cpu", lambda model: False)
    monkeypatch.setattr(encoder, "BATCH_PIXELS", 3 * 64 * 64)
    np.testing.assert_allclose(row_of_masks(clip), result[0], atol=1e-5)


def photograph(height: int, width: int) -> encoder.Pixels:
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def one_by_one(
    clip: CLIP, image: encoder.Pixels, boxes: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """What everybody writes: (N, 2, D) of the views crop and masked, on a square of mean colour."""
    transform, result = _transform(encoder.resolution(clip)), []
    whole = Image.fromarray(image)
    for box, mask in zip(boxes.tolist(), masks, strict=True):
        side = max(box[2] - box[0], box[3] - box[1])
        place = (side - (box[2] - box[0])) // 2, (side - (box[3] - box[1])) // 2
        visible = Image.fromarray(mask.astype(np.uint8) * 255)
        for stencil in (None, visible.crop(box)):
            square = Image.new("RGB", (side, side), OPENAI.mean_colour)
            square.paste(whole.crop(box), place, stencil)
            with torch.no_grad():
                result.append(clip.encode_image(transform(square)[None])[0])
    embeddings = torch.stack(result).unflatten(0, (len(boxes), 2))
    return torch.nn.functional.normalize(embeddings, dim=-1).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 160), (1100, 900)])
def test_masks_as_one_by_one(
    clip: CLIP, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """Also beyond a batch, and whatever the views."""
    rng, (height, width) = np.random.default_rng(0), size
    y, x = np.mgrid[:height, :width]
    centres = rng.uniform(0, 1, (11, 3)) * (height, width, width / 2) + (0, 0, 2)
    stack = np.stack([np.abs(y - cy) / 2 + np.abs(x - cx) < r for cy, cx, r in centres])
    masks = image_masks(
        "a",
        width,
        pack(stack),
        predicted_iou=[0] * 11,
        stability_score=[0] * 11,
        points=[[0] * 2] * 11,
    )
    image = photograph(height, width)
    monkeypatch.setattr(encoder, "CPU_BATCH_PIXELS", 4 * 64 * 64)
    ours = encoder.encode_masks(clip, image, masks.boxes, masks.masks, SETTINGS)
    assert ours.shape == (len(masks.ids), 2, encoder.dimensions(clip))
    theirs = one_by_one(clip, image, masks.boxes, stack)
    assert np.min(np.sum(ours * theirs, axis=-1)) >= 0.9999
    # Without training all embeddings are alike: what tells them apart must be the same, too.
    common = theirs.mean(axis=(0, 1))
    assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(theirs - common)
    only = SETTINGS.model_copy(update={"views": ("masked",)})
    alone = encoder.encode_masks(clip, image, masks.boxes, masks.masks, only)
    np.testing.assert_array_equal(alone[:, 0], ours[:, 1])
    both = SETTINGS.model_copy(update={"mirrored": True})
    result = encoder.encode_masks(clip, image, masks.boxes, masks.masks, both)
    for number, box in enumerate(masks.boxes):
        crops = cut(image, box, masks.masks[number], SETTINGS, encoder.resolution(clip))
        mirrored = encoder.encode_images(clip, crops[:, :, ::-1].copy())
        expected = ours[number] + mirrored
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(result[number], expected, atol=1e-4)


def test_no_masks(clip: CLIP) -> None:
    none = np.zeros((0, 4), np.int32), np.zeros((0, 8, 1), np.uint8)
    result = encoder.encode_masks(clip, photograph(8, 8), *none, SETTINGS)
    assert result.shape == (0, 2, encoder.dimensions(clip))


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
