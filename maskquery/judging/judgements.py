"""The file data/judgements.csv: a row for each answer, appended at once, in git.

Rows are only added. The last row of a mask and class counts, by its time; the row `undo` takes back
what was said before it. So the files of two people are merged by having the rows of both, in any
order (`merge=union` in .gitattributes).
"""

import base64
import csv
import fcntl
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskquery.core import console
from maskquery.core.errors import UserError
from maskquery.masks.packed import Packed

YES, NO, PART, SKIP, UNDO = "yes", "no", "part", "skip", "undo"
VERDICTS = (YES, NO, PART, SKIP, UNDO)

COLUMNS = (
    "image", "mask_id", "class", "verdict", "digest", "height", "width", "bits", "stratum",
    "probability", "time",
)  # fmt: skip
HEADER = ",".join(COLUMNS)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""In UTC. All times have the same length, so a row that was cut off anywhere has no time."""

LONGEST_SIDE = 65_535
"""Pixels, of an image."""

_MARKER = re.compile(r"(<{7}|>{7}|\|{7})( |$)|={7}$")
csv.field_size_limit(2**31 - 1)  # a large mask is a long field


class Key(NamedTuple):
    """What an answer is about: an image's id, a mask id and a class."""

    image: str
    mask_id: int
    class_: str


@dataclass(frozen=True)
class Judgement:
    """One answer.

    Attributes:
        key: what it is about.
        verdict: one of `VERDICTS`; `part` is a part of an object of the class.
        digest: sha256 of the mask's packed bits, in hex; its first 8 bytes are the mask id.
        height, width: of the image, pixels.
        bits: the mask's packed bits, compressed, as text, so that the mask is known when SAM no
            longer makes it; see `mask`.
        stratum: of the sampling design, when the mask was asked about.
        probability: of many answers, the share that falls on this mask; more than 0, at most 1.
        time: of the answer, in UTC.
    """

    key: Key
    verdict: str
    digest: str
    height: int
    width: int
    bits: str
    stratum: str
    probability: float
    time: datetime

    def mask(self) -> Packed:
        """The mask that was judged: (H, W8) uint8, packed bits.

        Raises:
            ValueError: the bits are not those of the digest.
        """
        shape = self.height, -(-self.width // 8)
        size = shape[0] * shape[1]
        try:
            data = zlib.decompressobj().decompress(
                base64.b64decode(self.bits, validate=True), size + 1
            )
        except (ValueError, zlib.error) as error:
            raise ValueError(f"the column bits cannot be read ({error})") from None
        if len(data) != size or hashlib.sha256(data).hexdigest() != self.digest:
            raise ValueError("the columns bits and digest do not fit")
        return np.frombuffer(data, np.uint8).reshape(shape)


def judge(
    image: str,
    class_: str,
    mask: Packed,
    width: int,
    verdict: str,
    stratum: str,
    probability: float,
    time: datetime | None = None,
) -> Judgement:
    """An answer about a mask.

    Args:
        image: the image's id.
        class_: the name of a class.
        mask: (H, W8) uint8, packed bits.
        width: W, pixels.
        verdict: one of `VERDICTS`.
        stratum: of the sampling design.
        probability: of many answers, the share that falls on this mask.
        time: of the answer; None for now.

    Raises:
        ValueError: a text has a line break, or a value is out of its range.
    """
    data = mask.tobytes()
    digest = hashlib.sha256(data).hexdigest()
    judgement = Judgement(
        Key(image, int(digest[:16], 16), class_),
        verdict,
        digest,
        len(mask),
        width,
        base64.b64encode(zlib.compress(data, 9)).decode(),
        stratum,
        probability,
        (time or datetime.now(UTC)).astimezone(UTC),
    )
    _parse(_format(judgement))
    return judgement


def append(path: Path, judgement: Judgement) -> None:
    """Add an answer at the end of the file, and have it on the disk; the file is made if missing.

    Two processes may do so at once: each waits for the other's lock on the file. A last line that
    was cut off is removed first, which is told on stderr.

    Raises:
        UserError: the file is no file of judgements.
        OSError: it cannot be written; it is then as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path)
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read()
        start, lead = len(data), ""
        head, _, tail = _decode(data, path).rpartition("\n")
        if head:
            _expect_header(head.partition("\n")[0], path)
        if tail and (tail == HEADER if not head else _is_whole(tail)):
            lead = "\n"  # an editor wrote no line break at the end
        elif tail or not data:
            if not head and not HEADER.startswith(tail):
                _expect_header(tail, path)
            start = data.rfind(b"\n") + 1
            lead = "" if head else f"{HEADER}\n"
            os.ftruncate(descriptor, start)
            if tail:
                console.log(f"{path}: the last line was cut off, and is removed")
        _write(descriptor, f"{lead}{_format(judgement)}\n".encode(), start)
    finally:
        os.close(descriptor)


def undo(path: Path, judgement: Judgement) -> None:
    """Take back what was said of a mask and class; see `append`."""
    append(path, replace(judgement, verdict=UNDO, time=datetime.now(UTC)))


def _lock(path: Path) -> int:
    """Open and lock the file that is at `path` when the lock is had: git may have replaced it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _write(descriptor: int, data: bytes, start: int) -> None:
    """Write all of `data` at `start`, or nothing."""
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], start + written)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def read(path: Path) -> list[Judgement]:
    """The answers that count: of each mask and class the last, sorted by `Key`.

    A last line that was cut off is left out, and answers that contradict an earlier one are
    counted: both are told on stderr. A missing file has no answers.

    Raises:
        UserError: another line cannot be read, or git left the marks of a conflict.
    """
    return latest(_read_rows(path), str(path))


def latest(judgements: Iterable[Judgement], name: str) -> list[Judgement]:
    """Of each mask and class the last answer, if it was not taken back, sorted by `Key`.

    Args:
        judgements: in any order.
        name: where they are from, to tell on stderr how many contradict an earlier one.
    """
    last: dict[Key, Judgement] = {}
    contradictions: list[str] = []
    for judgement in sorted(judgements, key=lambda each: (each.time, *each.key, each.verdict)):
        before = last.get(judgement.key)
        pair = {before.verdict, judgement.verdict} if before else set()
        if before and len(pair) == 2 and UNDO not in pair:
            image, mask_id, class_ = judgement.key
            verdicts = f"{before.verdict}, then {judgement.verdict}"
            contradictions.append(f"{image}#{mask_id}, {class_}: {verdicts}")
        last[judgement.key] = judgement
    if contradictions:
        console.log(
            f"{name}: answers that contradict an earlier one: {len(contradictions)}; the last "
            f"counts ({contradictions[0]})"
        )
    return [last[key] for key in sorted(last) if last[key].verdict != UNDO]


def _read_rows(path: Path) -> Iterator[Judgement]:
    try:
        text = _decode(path.read_bytes(), path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error})") from None
    *lines, tail = text.split("\n")
    if tail and (_is_whole(tail) if lines else not HEADER.startswith(tail)):
        lines.append(tail)  # an editor wrote no line break at the end
    elif tail not in ("", HEADER):
        console.log(f"{path}: the last line was cut off, and is left out")
    for number, line in enumerate(lines, 1):
        if number == 1:
            _expect_header(line, path)
        elif _MARKER.match(line):
            remedy = "delete the lines with these marks, and keep the answers of both sides"
            raise UserError(f"{path} line {number} is a mark of a conflict in git", remedy)
        elif line.strip() and line.rstrip("\r") != HEADER:
            try:
                yield _parse(line)
            except ValueError as error:
                raise UserError(f"{path} line {number}: {error}", "correct or delete it") from None


def _decode(data: bytes, path: Path) -> str:
    """The text of the file; a character that was cut off at its end is replaced."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\n" in data[error.start :]:
            raise UserError(f"{path} is not text in UTF-8", "save it as UTF-8") from None
        return data.decode("utf-8-sig", "replace")


def _expect_header(line: str, path: Path) -> None:
    if line.rstrip("\r\n") != HEADER:
        raise UserError(f"{path} is no file of judgements", f"its first line must be {HEADER}")


def _is_whole(line: str) -> bool:
    try:
        _parse(line)
    except ValueError:
        return False
    return True


def _format(judgement: Judgement) -> str:
    image, mask_id, class_ = judgement.key
    texts = {"image": image, "class": class_, "stratum": judgement.stratum}
    for name, value in texts.items():
        if not value or "\n" in value or "\r" in value:
            raise ValueError(f"{name} is {value!r}; it must be one line of text")
    values = {
        **texts,
        "mask_id": mask_id,
        "verdict": judgement.verdict,
        "digest": judgement.digest,
        "height": judgement.height,
        "width": judgement.width,
        "bits": judgement.bits,
        "probability": repr(float(judgement.probability)),
        "time": judgement.time.strftime(TIME_FORMAT),
    }
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([values[name] for name in COLUMNS])
    return line.getvalue()


def _parse(line: str) -> Judgement:
    """The answer of a line.

    Raises:
        ValueError: a value is missing or out of its range, with the reason.
    """
    try:
        (values,) = csv.reader([line.rstrip("\r")], strict=True)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"it is no row of values with commas between ({error})") from None
    if len(values) != len(COLUMNS):
        raise ValueError(f"it has {len(values)} values, not {len(COLUMNS)}")
    row = dict(zip(COLUMNS, values, strict=True))
    if row["verdict"] not in VERDICTS:
        raise ValueError(f"verdict is {row['verdict']!r}, not one of {', '.join(VERDICTS)}")
    if not re.fullmatch(r"[0-9a-f]{64}", row["digest"]):
        raise ValueError("digest is not a sha256 in hex")
    if row["mask_id"] != str(int(row["digest"][:16], 16)):
        raise ValueError("mask_id is not the start of digest: a spreadsheet may have rounded it")
    for name in ("image", "class", "stratum"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    try:
        time = datetime.strptime(row["time"], TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        time = None
    if time is None or len(row["time"]) != len("2026-01-31T12:00:00.000000Z"):
        raise ValueError(f"time is {row['time']!r}, not such as 2026-01-31T12:00:00.000000Z")
    return Judgement(
        Key(row["image"], int(row["mask_id"]), row["class"]),
        row["verdict"],
        row["digest"],
        _side(row, "height"),
        _side(row, "width"),
        row["bits"],
        row["stratum"],
        _probability(row["probability"]),
        time,
    )


def _side(row: dict[str, str], name: str) -> int:
    text = row[name]
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= LONGEST_SIDE:
        raise ValueError(f"{name} is {text!r}, not a whole number from 1 to {LONGEST_SIDE}")
    return int(text)


def _probability(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise ValueError(f"probability is {text!r}, not a number above 0 and at most 1")
    return number
