"""Masks against upstream's generator, from the same weights; and how much work is done for them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from maskquery.images import image_files
from maskquery.masks.packed import ImageMasks, check, image_masks, pack, unpack
from maskquery.sam import generator, loading
from maskquery.sam.decoder import Decoded, PointDecoder
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.settings import Settings

pytestmark = pytest.mark.slow

ROOMS = Path(__file__).resolve().parents[2] / "data/rooms/images"

Make = Callable[..., Settings]
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def tiny() -> Sam:
    """The tiny SAM as it is shipped."""
    return loading.load("tiny", torch.device("cpu"))


def room(number: int, width: int = 320, height: int = 240) -> Pixels:
    pixels = image_files.read(ROOMS / f"room-{number:03d}.jpg")
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def upstream(sam: Sam, settings: Settings, image: Pixels) -> ImageMasks:
    """Of equal masks the first, and none without a pixel, as everywhere here."""
    records = SamAutomaticMaskGenerator(sam, **settings.upstream()).generate(image)
    stack = np.array([record["segmentation"] for record in records], bool)
    return image_masks(
        "",
        image.shape[1],
        pack(stack.reshape(-1, *image.shape[:2])),
        predicted_iou=[record["predicted_iou"] for record in records],
        stability_score=[record["stability_score"] for record in records],
        points=[record["point_coords"][0] for record in records],
    )


def check_agreement(masks: ImageMasks, expected: ImageMasks) -> None:
    """The same masks in the same order: all to IoU 0.99, and 99 of 100 to 0.999."""
    check(masks)
    assert len(masks.ids) == len(expected.ids)
    stacks = (unpack(each.masks, each.width) for each in (masks, expected))
    pairs = list(zip(*stacks, strict=True))
    union = np.array([np.sum(ours | theirs) for ours, theirs in pairs])
    common = np.array([np.sum(ours & theirs) for ours, theirs in pairs])
    iou = np.where(union == 0, 1, common / np.maximum(union, 1))
    assert iou.min() >= 0.99
    assert np.mean(iou >= 0.999) >= 0.99
    for name in ("predicted_iou", "stability_score"):
        np.testing.assert_allclose(getattr(masks, name), getattr(expected, name), atol=1e-3)
    np.testing.assert_allclose(masks.points, expected.points, atol=1e-3)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"box_nms_thresh": 1.0},
    {"stability_score_offset": 0.0},
    {"stability_score_offset": 2.5, "points_per_batch": 7},
    {"points_per_side": 3, "crop_n_layers": 1, "crop_nms_thresh": 0.7},
    {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2, "crop_overlap_ratio": 0.1},
    {"min_mask_region_area": 60},
    {"points_per_side": 3, "crop_n_layers": 1, "min_mask_region_area": 100},
]


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_rooms_are_upstreams(tiny: Sam, make: Make, changes: dict[str, Any]) -> None:
    settings = make(
        **{"points_per_side": 6, "points_per_batch": 64, "box_nms_thresh": 0.7} | changes
    )
    for number in (1, 2):
        result = MaskGenerator(tiny, settings).generate(room(number))
        assert len(result.masks) > 3
        check_agreement(result, upstream(tiny, settings, room(number)))


def test_thresholds_are_upstreams(tiny: Sam, make: Make) -> None:
    """Set so that each leaves half of the masks."""
    every = MaskGenerator(tiny, make(points_per_side=8)).generate(room(3))
    settings = make(
        points_per_side=8,
        pred_iou_thresh=float(np.median(every.predicted_iou)),
        stability_score_thresh=float(np.median(every.stability_score)),
        box_nms_thresh=0.8,
    )
    result = MaskGenerator(tiny, settings).generate(room(3))
    assert 3 < len(result.masks) < len(every.masks) / 2
    check_agreement(result, upstream(tiny, settings, room(3)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 1999), (61, 47), (7, 5), (1024, 300)])
def test_odd_sizes_are_upstreams(tiny: Sam, make: Make, size: tuple[int, int]) -> None:
    image, settings = noise(*size), make(points_per_side=3, box_nms_thresh=0.9)
    result = MaskGenerator(tiny, settings).generate(image)
    check_agreement(result, upstream(tiny, settings, image))


@pytest.mark.parametrize(
    ("size", "layers"),
    [((1, 300), 0), ((300, 1), 0), ((2, 300), 1), ((300, 3), 1), ((4, 300), 2), ((300, 7), 2)],
)
def test_thin_images_are_upstreams(
    tiny: Sam, make: Make, size: tuple[int, int], layers: int
) -> None:
    """The thinnest that upstream takes; boxes of no height are never duplicates of each other."""
    image = room(4, *size[::-1])
    settings = make(points_per_side=3, box_nms_thresh=0.7, crop_n_layers=layers)
    result = MaskGenerator(tiny, settings).generate(image)
    check_agreement(result, upstream(tiny, settings, image))


def test_large_image_is_upstreams(tiny: Sam, make: Make) -> None:
    """Of one point, for upstream's memory."""
    image, settings = room(5, 4000, 3000), make(points_per_side=1)
    result = MaskGenerator(tiny, settings).generate(image)
    check_agreement(result, upstream(tiny, settings, image))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 63), (1, 600), (600, 1), (3, 2000)])
@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("tier", ["exact", "fast"])
def test_any_size(sam: Sam, make: Make, size: tuple[int, int], layers: int, tier: str) -> None:
    height, width = size
    settings = make(points_per_side=2, crop_n_layers=layers, tier=tier)
    masks = MaskGenerator(sam, settings).generate(noise(*size))
    check(masks)
    assert masks.masks.shape[1:] == (height, (width + 7) // 8)
    assert len(masks.masks) > 0
    assert np.all((masks.points >= 0) & (masks.points < (width, height)))


@pytest.mark.parametrize("threshold", ["stability_score_thresh", "pred_iou_thresh"])
@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("area", [0, 50])
def test_image_without_a_mask(sam: Sam, make: Make, threshold: str, layers: int, area: int) -> None:
    for tier in ("exact", "fast"):
        changes = {threshold: 1.0, "tier": tier}
        settings = make(crop_n_layers=layers, min_mask_region_area=area, **changes)
        result = MaskGenerator(sam, settings).generate(noise(20, 30))
        assert result.masks.shape == (0, 20, 4)
        assert result.points.shape == (0, 2)
        check(result)


def test_image_is_not_changed(sam: Sam, make: Make) -> None:
    image = noise(1, 600)
    MaskGenerator(sam, make(points_per_side=1)).generate(image)
    np.testing.assert_array_equal(image, noise(1, 600))


@pytest.mark.parametrize("changes", [{"points_per_batch": 3}, {"points_per_batch": 1000}])
def test_batches_change_nothing(tiny: Sam, make: Make, changes: dict[str, int]) -> None:
    first = MaskGenerator(tiny, make()).generate(room(0))
    second = MaskGenerator(tiny, make(**changes)).generate(room(0))
    assert len(first.masks) == len(second.masks)
    differing = unpack(first.masks ^ second.masks, 320).mean(axis=(1, 2))
    assert differing.max() < 1e-3
    np.testing.assert_allclose(first.predicted_iou, second.predicted_iou, atol=1e-5)


def test_threads_change_nothing(tiny: Sam, make: Make) -> None:
    """Neither how many there are nor which one asks."""
    expected = MaskGenerator(tiny, make()).generate(room(0))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        generate = MaskGenerator(tiny, make()).generate
        result = [generate(room(0))]
        thread = threading.Thread(target=lambda: result.append(generate(room(0))))
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for one in result:
        differing = unpack(one.masks ^ expected.masks, 320).mean(axis=(1, 2))
        assert differing.max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("side", "layers"), [(16, 0), (12, 1)])
def test_fast_decodes_fewer_points(
    tiny: Sam, make: Make, side: int, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds nearly the same masks, in every run the same to the bit."""
    changes = {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.4, "box_nms_thresh": 0.7}
    exact, fast = (
        make(points_per_side=side, crop_n_layers=layers, crop_nms_thresh=0.7, tier=tier, **changes)
        for tier in ("exact", "fast")
    )
    expected = MaskGenerator(tiny, exact).generate(room(4)).masks
    decoded: list[int] = []
    decode = PointDecoder.decode

    def counting_decode(self: PointDecoder, points: torch.Tensor) -> Decoded:
        decoded.append(len(points))
        return decode(self, points)

    monkeypatch.setattr(PointDecoder, "decode", counting_decode)
    result = [MaskGenerator(tiny, fast).generate(room(4)) for _ in range(2)]
    for name, values in vars(result[0]).items():
        np.testing.assert_array_equal(values, getattr(result[1], name))
    points = side**2 * (1 + 4 * layers)
    assert points / 4 < sum(decoded) / 2 < 0.9 * points
    common = [unpack(result[0].masks & mask, 320).sum((1, 2)) for mask in expected]
    union = [unpack(result[0].masks | mask, 320).sum((1, 2)) for mask in expected]
    best = np.max(np.array(common) / np.array(union), axis=1)
    assert np.mean(best) > 0.9
    assert len(result[0].masks) > 0.8 * len(expected)


def test_work_is_bounded(tiny: Sam, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are decoded once, masks up-scaled if their IoU passes, drawn if everything passes."""
    every = MaskGenerator(tiny, make(points_per_side=6)).generate(room(4))
    settings = make(
        points_per_side=6,
        points_per_batch=5,
        pred_iou_thresh=float(np.median(every.predicted_iou)),
        stability_score_thresh=float(np.median(every.stability_score)),
        box_nms_thresh=0.7,
    )
    decoded: list[int] = []
    upscaled: list[int] = []
    measured: list[int] = []
    draws: list[int] = []
    decode, masks, measure, draw = (
        PointDecoder.decode,
        PointDecoder.masks,
        generator.measure,
        generator.draw,
    )

    def counting_decode(self: PointDecoder, points: torch.Tensor) -> Decoded:
        decoded.append(len(points))
        return decode(self, points)

    def counting_masks(self: PointDecoder, of: Decoded, keep: torch.Tensor) -> torch.Tensor:
        upscaled.append(int(keep.sum()))
        return masks(self, of, keep)

    def counting_measure(lows: Any, *rest: Any) -> Any:
        measured.append(len(lows))
        return measure(lows, *rest)

    def counting_draw(low: Any, *rest: Any) -> Any:
        draws.append(1)
        return draw(low, *rest)

    monkeypatch.setattr(PointDecoder, "decode", counting_decode)
    monkeypatch.setattr(PointDecoder, "masks", counting_masks)
    monkeypatch.setattr(generator, "measure", counting_measure)
    monkeypatch.setattr(generator, "draw", counting_draw)
    result = MaskGenerator(tiny, settings).generate(room(4))
    assert sorted(decoded) == [1] + [5] * 7
    passed = int(np.sum(every.predicted_iou > settings.pred_iou_thresh))
    assert sum(upscaled) == sum(measured) == passed == 54
    assert 0 < len(result.masks) < passed
    assert sum(draws) == len(result.masks)
