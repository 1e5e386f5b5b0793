import numpy as np
from PIL import Image

from maskquery.images import clahe


def test_without_a_limit_the_image_is_as_it_was() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert clahe.equalise(image, 0) is image


def test_a_dull_image_gains_contrast_and_keeps_its_colours() -> None:
    small = np.random.default_rng(0).integers(100, 130, (8, 8, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC))
    before = image.copy()
    result = clahe.equalise(image, 3.0)
    np.testing.assert_array_equal(image, before)
    assert (result.shape, result.dtype) == (image.shape, np.uint8)
    assert result.mean(axis=2).std() > 1.5 * image.mean(axis=2).std()
    lab = [np.array(Image.fromarray(each).convert("LAB")).view(np.int8) for each in (image, result)]
    assert np.abs(lab[0][..., 1:].astype(float) - lab[1][..., 1:]).mean() < 4
