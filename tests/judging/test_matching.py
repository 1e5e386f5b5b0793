from pathlib import Path

import numpy as np
import pytest

from maskquery.judging import judgements
from maskquery.judging.judgements import Judgement
from maskquery.judging.matching import carry_over
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import mask_ids, pack
from tests.support.builders import Bools, write_masks

NAME = "data/judgements.csv"


def rectangle(y0: int, y1: int, x0: int, x1: int) -> Bools:
    mask = np.zeros((30, 43), bool)
    mask[y0:y1, x0:x1] = True
    return mask


OLD = rectangle(5, 25, 10, 30)  # 400 pixels


def answer(mask: Bools, verdict: str = "yes", image: str = "a", class_: str = "chair") -> Judgement:
    return judgements.judge(image, class_, pack(mask), mask.shape[1], verdict, "near", 0.5)


def carried(tmp_path: Path, answers: list[Judgement], *masks: Bools) -> list[Judgement]:
    folder = tmp_path / "masks.zarr"
    write_masks(folder, {"a": np.stack(masks)})
    with MaskStore(folder) as store:
        return carry_over(answers, store, ["chair", "table"], NAME)


def test_an_answer_about_the_same_mask_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [answer(OLD)]
    assert carried(tmp_path, answers, rectangle(0, 3, 0, 3), OLD) == answers
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("lost", "stays"), [(20, True), (21, False)])  # of 400: IoU 0.95, 0.9475
def test_an_answer_about_nearly_the_same_mask_goes_over_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: int, stays: bool
) -> None:
    new = OLD.copy()
    new[tuple(np.argwhere(OLD)[:lost].T)] = False
    results = carried(tmp_path, [answer(OLD)], rectangle(0, 30, 0, 43), new)
    line = capsys.readouterr().err
    if stays:
        (result,) = results
        assert result.key.mask_id == mask_ids(pack(new[None]))[0]
        assert result.verdict == "yes"
        assert "a little differently now: 1; they count for the nearest mask (IoU 0.950" in line
    else:
        assert results == []
        assert "answers left out, as the mask is gone: 1 (a#" in line


def test_two_answers_that_go_over_to_one_mask_contradict_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = rectangle(5, 25, 10, 30)
    other[5, 10] = False
    new = rectangle(5, 25, 10, 30)
    new[24, 29] = False
    (result,) = carried(tmp_path, [answer(OLD, "yes"), answer(other, "no")], new)
    assert result.verdict == "no"
    assert "contradict an earlier one: 1" in capsys.readouterr().err


def test_what_is_gone_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = np.zeros((60, 86), bool)
    larger[10:50, 20:60] = True
    answers = [answer(OLD, image="b"), answer(OLD, class_="cat"), answer(OLD), answer(larger)]
    (result,) = carried(tmp_path, answers, OLD)
    assert result == answers[2]
    lines = capsys.readouterr().err
    for what in ("class", "image", "mask"):
        assert f"{NAME}: answers left out, as the {what} is gone: 1 (" in lines


def test_bits_that_are_damaged_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = judgements.Judgement(**{**vars(answer(OLD)), "bits": "A"})
    assert carried(tmp_path, [damaged], rectangle(5, 25, 10, 31)) == []
    lines = capsys.readouterr().err
    assert "chair: the column bits cannot be read" in lines
    assert "as the mask is gone: 1" in lines
