import numpy as np

from maskquery.scoring.similarity import mask_similarity

X, Y, Z = np.eye(3, dtype=np.float32)


def test_mean_over_views_and_greatest_over_prompts() -> None:
    views = np.stack([[X, Y], [Z, Z]])
    classes = [np.stack([X]), np.stack([Y, Z]), np.stack([-X])]
    similarity = mask_similarity(views, [3, 1], classes)
    assert similarity.dtype == np.float32
    np.testing.assert_allclose(similarity, [[0.75, 0.25, -0.75], [0, 1, 0]])


def test_never_beyond_one() -> None:
    unit = np.full((1, 1, 3), np.float32(0.5773503))
    similarity = mask_similarity(unit.repeat(2, axis=1), [0.3, 0.7], [unit[0], -unit[0]])
    np.testing.assert_array_equal(np.abs(similarity) <= 1, True)
    np.testing.assert_allclose(similarity, [[1, -1]], rtol=1e-6)


def test_no_mask() -> None:
    assert mask_similarity(np.zeros((0, 2, 3), np.float32), [1, 1], [X[None]]).shape == (0, 1)
