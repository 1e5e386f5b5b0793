import multiprocessing
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.judging import judgements
from maskquery.judging.judgements import HEADER, Judgement
from maskquery.masks.packed import mask_ids, pack
from tests.support.builders import ROOT, random_stack

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
MASKS = pack(random_stack(np.random.default_rng(0), 4, 9, 13))
IDS = mask_ids(MASKS).tolist()


def answer(
    mask: int = 0, verdict: str = "yes", second: float = 0, image: str = "a", class_: str = "chair"
) -> Judgement:
    return judgements.judge(
        image, class_, MASKS[mask], 13, verdict, "near", 0.25, START + timedelta(seconds=second)
    )


def verdicts(path: Path) -> list[tuple[int, str]]:
    return [(IDS.index(each.key.mask_id), each.verdict) for each in judgements.read(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "judgements.csv"


def test_what_is_appended_is_read(path: Path) -> None:
    odd = answer(1, "part", 1, image='a, "b"/ü', class_="Stühle, rot")
    for each in (odd, answer()):
        judgements.append(path, each)
    assert judgements.read(path) == [answer(), odd]  # sorted
    assert path.read_text().splitlines()[0] == HEADER
    np.testing.assert_array_equal(odd.mask(), MASKS[1])
    assert odd.key.mask_id == IDS[1]


def test_a_missing_file_and_one_of_a_header_hold_no_answers(path: Path) -> None:
    assert judgements.read(path) == []
    path.parent.mkdir()
    for text in ("", HEADER, f"{HEADER}\n"):
        path.write_text(text)
        assert judgements.read(path) == []
        judgements.append(path, answer())
        assert judgements.read(path) == [answer()]


def test_the_last_answer_counts_and_contradictions_are_told(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (answer(0, "no", 5), answer(0, "yes", 1), answer(1, "no"), answer(1, "no", 1)):
        judgements.append(path, each)  # in the order of a merge, not of time
    assert sorted(verdicts(path)) == [(0, "no"), (1, "no")]
    line = capsys.readouterr().err
    assert f"contradict an earlier one: 1; the last counts (a#{IDS[0]}, chair: yes, then no" in line


def test_undo_takes_back_and_is_no_contradiction(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judgements.append(path, answer(0, "yes"))
    judgements.append(path, answer(1, "yes"))
    judgements.undo(path, answer(0, "yes"))
    assert verdicts(path) == [(1, "yes")]
    again = judgements.judge("a", "chair", MASKS[0], 13, "no", "near", 0.25)
    judgements.append(path, again)
    assert sorted(verdicts(path)) == [(0, "no"), (1, "yes")]
    assert capsys.readouterr().err == ""


def test_a_line_that_was_cut_off_anywhere_is_left_out(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (answer(0), answer(1)):
        judgements.append(path, each)
    data = path.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for end in range(start + 1, len(data) - 1):
        path.write_bytes(data[:end])
        assert verdicts(path) == [(0, "yes")]
        assert "the last line was cut off, and is left out" in capsys.readouterr().err
        judgements.append(path, answer(2))
        assert "the last line was cut off, and is removed" in capsys.readouterr().err
        assert sorted(verdicts(path)) == [(0, "yes"), (2, "yes")]
    path.write_bytes(data[:-1])  # nothing but the line break is missing
    judgements.append(path, answer(2))
    assert sorted(verdicts(path)) == [(0, "yes"), (1, "yes"), (2, "yes")]
    assert capsys.readouterr().err == ""


def test_a_header_that_was_cut_off_is_written_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(HEADER[:20])
    assert judgements.read(path) == []
    judgements.append(path, answer())
    assert judgements.read(path) == [answer()]


def test_a_character_that_was_cut_off(path: Path) -> None:
    judgements.append(path, answer())
    path.write_bytes(path.read_bytes() + "ü".encode()[:1])
    assert verdicts(path) == [(0, "yes")]
    judgements.append(path, answer(1))
    assert sorted(verdicts(path)) == [(0, "yes"), (1, "yes")]


def test_line_breaks_of_windows_and_a_byte_order_mark(path: Path) -> None:
    judgements.append(path, answer())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    judgements.append(path, answer(1))
    assert sorted(verdicts(path)) == [(0, "yes"), (1, "yes")]


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (r",yes,", ",maybe,", "line 2: verdict is 'maybe', not one of yes, no, part, skip, undo"),
        (r"a,\d{12}", "a,000000000000", "line 2: mask_id is not the start of digest"),
        (r",[0-9a-f]{64},", ",1.2E+18,", "line 2: digest is not a sha256 in hex"),
        (r",9,13,", ",0,13,", "line 2: height is '0', not a whole number from 1 to 65535"),
        (r",9,13,", ",9,99999,", "line 2: width is '99999', not a whole"),
        (r",0.25,", ",0,", "line 2: probability is '0', not a number above 0 and at most 1"),
        (r",0.25,", ",nan,", "line 2: probability is 'nan'"),
        (r"2026-01-31T12:00:00.000000Z", "31.1.2026", "line 2: time is '31.1.2026'"),
        (r",near,", ",", "line 2: it has 10 values, not 11"),
        (r"\na,", "\n,", "line 2: image is empty"),
        (r"\na,", '\n"a,', "line 2: it is no row of values with commas between"),
        (r"\na,", "\n<<<<<<< HEAD\na,", "line 2 is a mark of a conflict in git"),
        (r"^image", "picture", "is no file of judgements: its first line must be image,"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line(
    path: Path, pattern: str, new: str, message: str
) -> None:
    for each in (answer(0), answer(1)):
        judgements.append(path, each)
    text, count = re.subn(pattern, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        judgements.read(path)


def test_another_file_is_not_written_into(path: Path) -> None:
    path.parent.mkdir()
    for text in ("name,age\nb,3\n", "name", "\xe4\n".encode("latin-1")):
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"judgements\.csv is no"):
            judgements.append(path, answer())
        assert path.read_bytes() == data


def test_a_text_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="it must be one line"):
        answer(image="a\nb")


def test_bits_that_do_not_fit_the_digest_are_refused(path: Path) -> None:
    judgements.append(path, answer(0))
    foreign = answer(1).bits
    path.write_text(path.read_text().replace(answer(0).bits, foreign))
    (each,) = judgements.read(path)
    with pytest.raises(ValueError, match="bits and digest do not fit"):
        each.mask()


def _append_many(path: Path, person: int, count: int) -> None:
    for number in range(count):
        judgements.append(path, answer(0, "yes", number, image=f"{person}-{number}"))


def test_two_processes_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, p, 100)) for p in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    images = {f"{person}-{number}" for person in range(3) for number in range(100)}
    assert {each.key.image for each in judgements.read(path)} == images
    assert len(path.read_text().splitlines()) == 301


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judgements.append(path, answer(0))
    before = path.read_bytes()
    real = os.pwrite

    def write_half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2], offset)

    monkeypatch.setattr(os, "pwrite", write_half)
    with pytest.raises(OSError, match="No space left"):
        judgements.append(path, answer(1))
    assert path.read_bytes() == before


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_two_people_s_answers_merge_in_git_without_a_conflict(tmp_path: Path) -> None:
    """With the attributes of this repository."""
    shutil.copyfile(ROOT / ".gitattributes", tmp_path / ".gitattributes")
    path = tmp_path / "data/judgements.csv"
    git(tmp_path, "init", "-b", "main")
    judgements.append(path, answer(0, "yes", 0))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one answer")
    git(tmp_path, "checkout", "-b", "other")
    judgements.append(path, answer(1, "yes", 1))
    judgements.append(path, answer(2, "no", 3))
    git(tmp_path, "commit", "-am", "two more")
    git(tmp_path, "checkout", "main")
    judgements.append(path, answer(1, "no", 2))
    judgements.append(path, answer(3, "no", 4))
    git(tmp_path, "commit", "-am", "two more")
    git(tmp_path, "merge", "other")
    assert sorted(verdicts(path)) == [(0, "yes"), (1, "no"), (2, "no"), (3, "no")]
