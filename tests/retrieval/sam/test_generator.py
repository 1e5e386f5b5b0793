from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from retrieval.masks import ImageMasks, check, image_masks, unpack
from retrieval.sam.generator import Float32Coordinates, Found, MaskGenerator
from retrieval.sam.settings import Settings

Make = Callable[..., Settings]


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def checked(found: Found, width: int) -> ImageMasks:
    """What the stage makes of the masks, which is refused if anything does not fit."""
    masks = image_masks("image", width, **vars(found))
    check(masks)
    return masks


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (33, 63), (1, 600), (600, 1)])
@pytest.mark.parametrize("layers", [0, 1])
def test_any_size(sam: Sam, make: Make, size: tuple[int, int], layers: int) -> None:
    height, width = size
    found = MaskGenerator(sam, make(points_per_side=2, crop_n_layers=layers))(noise(*size))
    masks = checked(found, width)
    assert masks.masks.shape[1:] == (height, (width + 7) // 8)
    assert len(masks.masks) > 0
    assert np.all((masks.points >= 0) & (masks.points < (width, height)))


@pytest.mark.parametrize("changes", [{}, {"crop_n_layers": 1}, {"min_mask_region_area": 50}])
def test_masks_are_upstreams(sam: Sam, make: Make, changes: dict[str, int]) -> None:
    image, settings = noise(47, 61), make(**changes)
    records = SamAutomaticMaskGenerator(sam, **settings.model_dump()).generate(image)
    found = MaskGenerator(sam, settings)(image)
    assert len(records) > 3
    np.testing.assert_array_equal(unpack(found.masks, 61), [r["segmentation"] for r in records])
    for name in ("predicted_iou", "stability_score"):
        values = np.array([r[name] for r in records], np.float32)
        np.testing.assert_array_equal(getattr(found, name), values)
    points = np.array([r["point_coords"][0] for r in records], np.float32)
    np.testing.assert_array_equal(found.points, points)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("area", [0, 50])
def test_image_without_a_mask(sam: Sam, make: Make, layers: int, area: int) -> None:
    settings = make(stability_score_thresh=1.0, crop_n_layers=layers, min_mask_region_area=area)
    found = MaskGenerator(sam, settings)(noise(20, 30))
    assert found.masks.shape == (0, 20, 4)
    assert found.points.shape == (0, 2)
    assert len(checked(found, 30).ids) == 0


def test_image_is_not_changed(sam: Sam, make: Make) -> None:
    image = noise(1, 600)
    MaskGenerator(sam, make(points_per_side=1))(image)
    np.testing.assert_array_equal(image, noise(1, 600))


def test_float32_coordinates_are_upstreams() -> None:
    points = np.random.default_rng(0).uniform(0, 333, (50, 2))
    ours = Float32Coordinates(1024).apply_coords(points, (333, 500))
    assert ours.dtype == np.float32
    theirs = ResizeLongestSide(1024).apply_coords(points, (333, 500))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
