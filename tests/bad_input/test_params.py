"""params.yaml as people write it: what does not fit is told in one line, before anything runs."""

import re
from pathlib import Path

import pytest

from maskquery.core import params
from maskquery.core.errors import UserError
from stages import embeddings, masks, metrics, overlays, predictions, scores
from tests.support.builders import ROOT

TEXT = (ROOT / "params.yaml").read_text()

CASES = {
    "NaN": (predictions, r"^threshold: .*", "threshold: .nan", "threshold is nan"),
    "infinity": (predictions, r"^threshold: .*", "threshold: .inf", "threshold is inf"),
    "number that YAML takes for text": (
        predictions,
        r"^threshold: .*",
        "threshold: '1e-3'",
        "threshold is '1e-3'; it must be a number, or one of calibrated, common, otsu, "
        "largest_gap; this is text, write 0.001 without quotes",
    ),
    "number in quotes": (predictions, r"^threshold: .*", "threshold: '0.3'", "threshold is '0.3'"),
    "true for a number": (predictions, r"^threshold: .*", "threshold: true", "threshold is true"),
    "number out of range": (predictions, r"^threshold: .*", "threshold: 1.5", "threshold is 1.5"),
    "fraction for a whole number": (
        masks,
        r"points_per_side: .*",
        "points_per_side: 2.5",
        "sam.points_per_side is 2.5",
    ),
    "nothing after a key": (masks, r"^max_pixels: .*", "max_pixels:", "max_pixels is null"),
    "no pixel": (masks, r"^max_pixels: .*", "max_pixels: 0", "max_pixels is 0"),
    "another word": (masks, r"^on_error: .*", "on_error: stop", "on_error is 'stop'"),
    "class given twice": (scores, r"^  chair:$", "  table:", "the key 'table' is given twice"),
    "class without prompts": (
        scores,
        r"^  chair:\n(  - .*\n)*",
        "  chair: []\n",
        "classes.chair is []",
    ),
    "class that is no text": (scores, r"^  chair:$", "  true:", "classes has the key true"),
    "no classes": (scores, r"^classes:\n(  .*\n)*", "classes: {}\n", "classes is {}"),
    "section given twice": (masks, r"\Z", "sam:\n  model: tiny\n", "the key 'sam' is given twice"),
    "section that is missing": (masks, r"^sam:\n(  .*\n)*", "", "sam is missing"),
    "key that is missing": (embeddings, r"^  crop_shape: .*\n", "", "clip.crop_shape is missing"),
    "misspelt key": (
        embeddings,
        r"crop_shape:",
        "crop_form:",
        "clip.crop_form is not a known key; allowed are",
    ),
    "list for a section": (embeddings, r"^clip:\n(  .*\n)*", "clip: []\n", "clip is []"),
    "label that is no number": (
        metrics,
        r"^    chair:\n    - 6$",
        "    chair:\n    - six",
        "ground_truth.labels.chair[0] is 'six'",
    ),
    "folder that is no text": (masks, r"^images: .*", "images: 7", "images is 7"),
    "pattern that names a folder": (
        metrics,
        r"pattern: .*",
        "pattern: ../{image}.npy",
        "ground_truth.pattern is '../{image}.npy'",
    ),
    "tabs": (overlays, r"^  count:", "\tcount:", "line"),
    "not YAML": (masks, r"\A", "sam: [\n", "line"),
    "value that holds itself": (masks, r"^images: .*", "images: &a [*a]", "a value holds itself"),
    "empty file": (masks, r"(?s)\A.*\Z", "", "must hold keys with values"),
    "list and no keys": (masks, r"(?s)\A.*\Z", "- a\n", "must hold keys with values"),
}


@pytest.mark.parametrize(("stage", "pattern", "text", "message"), CASES.values(), ids=CASES.keys())
def test_one_line_says_which_key_and_what_is_wrong(
    tmp_path: Path, stage: object, pattern: str, text: str, message: str
) -> None:
    changed, count = re.subn(pattern, lambda _: text, TEXT, count=1, flags=re.MULTILINE)
    assert count == 1
    path = tmp_path / "params.yaml"
    path.write_text(changed)
    with pytest.raises(UserError) as error:
        params.load(stage.Params, path)  # type: ignore[attr-defined]
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_other_bytes_and_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing: run in the repository's root"):
        params.load(masks.Params, tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        params.load(masks.Params, tmp_path / "params.yaml")
