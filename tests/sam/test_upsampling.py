"""Counts, boxes and pixels against PyTorch's two interpolations and upstream's own steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

from maskquery.masks.packed import unpack
from maskquery.sam.upsampling import Geometry, draw, measure

Floats = npt.NDArray[np.float32]


@dataclass
class Case:
    lows: Floats  # (M, L, L)
    model: int
    inside: tuple[int, int]
    image: tuple[int, int]
    threshold: float = 0.0
    offset: float = 1.0

    @property
    def geometry(self) -> Geometry:
        return Geometry.between(self.lows.shape[1], self.model, self.inside, self.image)


def logits(kind: str, count: int, side: int, seed: int = 0) -> Floats:
    """(count, side, side) of different characters."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 4, (count, side, side)).astype(np.float32)
    if kind == "noise":
        return noise
    if kind == "blobs":  # as SAM's: large areas of one sign
        y, x = np.mgrid[:side, :side]
        cy, cx, r = rng.uniform(0, side, (3, count, 1, 1))
        return (6 * np.tanh((r / 2 - np.hypot(y - cy, x - cx)) / 2)).astype(np.float32)
    if kind == "constant":
        return np.repeat(noise[:, :1, :1], side, 1).repeat(side, 2)
    if kind == "extreme":
        return np.sign(noise) * np.float32(1e30)
    if kind == "one":  # a single logit above or below the others
        spots = np.full((count, side, side), -5, np.float32)
        spots.reshape(count, -1)[np.arange(count), rng.integers(0, side**2, count)] = 5
        return spots * rng.choice([-1, 1], (count, 1, 1)).astype(np.float32)
    raise ValueError(kind)


KINDS = ("noise", "blobs", "constant", "extreme", "one")


def upscale(case: Case) -> torch.Tensor:
    """As `Sam.postprocess_masks`: (M, H, W)."""
    size = (case.model, case.model)
    masks = F.interpolate(torch.from_numpy(case.lows)[None], size, mode="bilinear")
    masks = masks[..., : case.inside[0], : case.inside[1]]
    return F.interpolate(masks, case.image, mode="bilinear")[0]


def check(case: Case) -> None:
    """Equal to upstream's results but for pixels within rounding of a cut."""
    counts, boxes = measure(case.lows, case.geometry, case.threshold, case.offset)
    pixels = np.stack([draw_mask(low, case) for low in case.lows])
    theirs = upscale(case)
    slack = 1e-6 * float(np.abs(case.lows).max(initial=1))
    for column, cut in enumerate((-case.offset, 0.0, case.offset)):
        least, most = (
            (theirs > case.threshold + cut + sign * slack).sum((1, 2)).numpy() for sign in (1, -1)
        )
        assert np.all((least <= counts[:, column]) & (counts[:, column] <= most))
    clear = (theirs - case.threshold).abs().numpy() > slack
    np.testing.assert_array_equal(pixels[clear], (theirs > case.threshold).numpy()[clear])
    np.testing.assert_array_equal(boxes, batched_mask_to_box(torch.from_numpy(pixels)).numpy())
    np.testing.assert_array_equal(counts[:, 1], pixels.sum((1, 2)))


def draw_mask(low: Floats, case: Case) -> npt.NDArray[np.bool_]:
    packed = draw(low, case.geometry, case.threshold)
    assert packed.shape == (case.image[0], -(-case.image[1] // 8))
    pixels = unpack(packed, case.image[1])
    np.testing.assert_array_equal(np.packbits(pixels, axis=-1), packed)  # no bits beyond the width
    return pixels


SIZES = [(1, 1), (1, 300), (300, 1), (37, 1999), (8, 8), (32, 32), (5, 3), (480, 640), (7, 64)]
SIZE = st.sampled_from(SIZES) | st.tuples(st.integers(1, 90), st.integers(1, 90))


@st.composite
def cases(draw: Any) -> Case:
    side, scale = draw(st.sampled_from([(1, 1), (2, 4), (8, 4), (16, 4), (16, 1), (5, 3)]))
    model = side * scale
    return Case(
        logits(draw(st.sampled_from(KINDS)), 3, side, draw(st.integers(0, 1000))),
        model,
        (draw(st.integers(1, model)), draw(st.integers(1, model))),
        draw(SIZE),
        draw(st.sampled_from([0.0, -1.5, 0.7])),
        draw(st.sampled_from([1.0, 0.0, 2.5])),
    )


@settings(max_examples=150)
@given(cases())
def test_any_size(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("inside", "image"),
    [
        ((192, 256), (480, 640)),
        ((256, 256), (1, 1)),
        ((1, 256), (1, 700)),
        ((5, 256), (37, 1999)),
        ((256, 3), (900, 11)),
        ((192, 256), (96, 128)),
    ],
)
def test_sizes_of_the_tiny_model(kind: str, inside: Any, image: Any) -> None:
    check(Case(logits(kind, 6, 64), 256, inside, image))


def test_sizes_of_the_published_models() -> None:
    check(Case(logits("blobs", 4, 256), 1024, (683, 1024), (427, 640)))


def test_stability_score_is_upstreams() -> None:
    case = Case(logits("blobs", 40, 16), 64, (48, 64), (240, 320))
    counts, _ = measure(case.lows, case.geometry, 0.0, 1.0)
    theirs = calculate_stability_score(upscale(case), 0.0, 1.0).numpy()
    with np.errstate(invalid="ignore"):
        ours = np.divide(counts[:, 2], counts[:, 0], dtype=np.float32)
    assert np.isnan(theirs).any()  # 0 / 0 where even the lower cut leaves nothing
    assert len(np.unique(theirs)) > 20
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_no_masks() -> None:
    counts, boxes = measure(np.zeros((0, 8, 8), np.float32), geometry(), 0.0, 1.0)
    assert counts.shape == (0, 3)
    assert boxes.shape == (0, 4)


def test_masks_that_are_empty_or_full() -> None:
    lows = np.stack([np.full((8, 8), value, np.float32) for value in (-5, 5)])
    counts, boxes = measure(lows, geometry(), 0.0, 1.0)
    assert counts.tolist() == [[0, 0, 0], [300, 300, 300]]
    assert boxes.tolist() == [[0, 0, 0, 0], [0, 0, 14, 19]]


def test_a_strided_stack() -> None:
    lows = logits("blobs", 6, 8)
    for ours, expected in zip(
        measure(lows[::2], geometry(), 0.0, 1.0),
        measure(lows[::2].copy(), geometry(), 0.0, 1.0),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, expected)


def test_logits_may_not_be_larger_than_the_input() -> None:
    with pytest.raises(ValueError, match="logits of 8 pixels a side for an input of 4"):
        Geometry.between(8, 4, (4, 4), (9, 9))


def geometry() -> Geometry:
    return Geometry.between(8, 32, (24, 32), (20, 15))
