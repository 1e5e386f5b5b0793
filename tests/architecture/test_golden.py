"""The results of two rooms are those of tests/golden, whatever was done to the code.

So a refactoring is judged by results. Where results are to change, raise VERSION in
maskquery/sam/__init__.py or maskquery/clip/__init__.py, then `python -m tests.architecture.golden`.
"""

import numpy as np
import pytest
import yaml

from tests.architecture import golden
from tests.architecture.golden import Results


def test_the_golden_data_are_of_these_versions_and_weights() -> None:
    found = yaml.safe_load(golden.ABOUT.read_text())
    assert found == golden.about(), f"run `{golden.COMMAND}`"


def test_the_golden_data_are_small() -> None:
    assert sum(path.stat().st_size for path in golden.FOLDER.iterdir()) < 500_000


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["masks", "embeddings"])
def test_results_are_those_of_the_golden_data(stage: str) -> None:
    assert golden.differences(stage) == [], golden.verdict(stage)


def results() -> Results:
    """Two masks of 200 x 200 pixels that do not overlap, and an embedding of each."""
    masks = np.zeros((2, 200, 200), bool)
    masks[0, :100], masks[1, 100:] = True, True
    return Results(masks, np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))


def test_the_order_of_masks_makes_no_difference() -> None:
    one = results()
    other = Results(one.masks[::-1], one.embeddings[::-1])
    assert golden.difference("embeddings", one, other) == ""


def test_one_pixel_of_20_000_makes_no_difference_and_three_do() -> None:
    one, other = results(), results()
    other.masks[0, 0, 0] = False
    assert golden.difference("masks", one, other) == ""
    other.masks[0, 0, :3] = False
    assert golden.difference("masks", one, other).startswith("a mask has an IoU of 0.99985")


def test_masks_more_or_less_are_a_difference() -> None:
    one = results()
    other = Results(one.masks[:1], one.embeddings[:1])
    assert golden.difference("masks", one, other) == "1 masks instead of 2"
    twice = Results(one.masks[[0, 0]], one.embeddings[[0, 0]])
    assert golden.difference("masks", one, twice) != ""


def test_an_embedding_that_points_elsewhere_is_a_difference() -> None:
    one, other = results(), results()
    other.embeddings[0, 0] = [1.0, 0.01]
    assert golden.difference("embeddings", one, other) == ""
    other.embeddings[0, 0] = [1.0, 0.02]
    assert golden.difference("embeddings", one, other).startswith("an embedding has a cosine of")


def test_the_verdict_tells_whether_another_version_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = results(), results()
    other.masks[0, 0, :3] = False
    monkeypatch.setattr(golden, "ROOMS", ("room",))
    monkeypatch.setattr(golden, "stored", lambda: {"room": one})
    monkeypatch.setattr(golden, "computed", lambda: {"room": one})
    assert golden.verdict("masks").endswith("VERSION may stay")
    monkeypatch.setattr(golden, "computed", lambda: {"room": other})
    assert "(room: a mask has an IoU of 0.999850 with its golden one): raise VERSION in " in (
        golden.verdict("masks")
    )
