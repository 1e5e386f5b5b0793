"""Download a large file, resumed after interruptions, and check its size and sha256.

urllib3's `Retry` bounds the number of attempts and waits between them, longer each time, or as long
as the server's Retry-After asks. An attempt that received bytes does not count, so a download of
hours survives many interruptions, up to `MOST_RESUMPTIONS`.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from maskquery.core import console, locks
from maskquery.core.errors import UserError
from maskquery.core.files import file_hash

if TYPE_CHECKING:
    import requests
    from urllib3.util.retry import Retry

TIMEOUTS = (10, 60)  # seconds to connect, and between two reads
RETRIES = 4  # attempts in a row without progress, after the first
MOST_RESUMPTIONS = 1000
LONGEST_WAIT = 60  # seconds, even if the server's Retry-After is longer
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that are worth a retry
CHUNK = 1 << 16  # bytes; an interruption loses at most one chunk
MOST_BYTES = 16 << 30  # of a file whose size is not known before the download


def download(url: str, target: Path, sha256: str, size: int | None = None) -> None:
    """Download `url` to `target`, which is replaced once the sha256 is right.

    One process downloads a file at a time; others wait for it and use its file. Received bytes are
    kept in `NAME.part` beside the target, for later attempts and processes.

    Args:
        url: http or https.
        target: replaced.
        sha256: of the file's bytes, in hex.
        size: of the file, bytes; a longer body is not read to its end.

    Raises:
        UserError: the file cannot be downloaded or written, or its sha256 is another.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = Path(f"{target}.lock")
        with locks.exclusive(lock, f"waiting for another process that holds {lock}"):
            _download(url, target, sha256, size)
    except OSError as error:  # a full disk, a folder that may not be written
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error


def _download(url: str, target: Path, sha256: str, size: int | None) -> None:
    if target.is_file() and file_hash(target) == sha256:
        return
    part = Part(Path(f"{target}.part"), size)
    # A part that an earlier process left may be of another file: then all is downloaded once more.
    for _ in range(2 if part.length else 1):
        part.fetch(url)
        if file_hash(part.path) == sha256:
            part.path.replace(target)
            return
        part.path.unlink()
    raise UserError("the server sent other bytes than expected")


class _CutError(Exception):
    """A retryable failure: the connection ended before the file did."""


class Part:
    """The part of a file that has been received.

    Args:
        path: of the part, which need not exist.
        size: of the whole file, bytes, if it is known.
    """

    def __init__(self, path: Path, size: int | None) -> None:
        self.path, self._most = path, MOST_BYTES if size is None else size

    @property
    def length(self) -> int:
        """The number of bytes received."""
        return self.path.stat().st_size if self.path.exists() else 0

    def fetch(self, url: str) -> None:
        """Download the rest.

        Raises:
            UserError: the server refuses, sends too many bytes, or the last attempt failed.
        """
        from urllib3.exceptions import MaxRetryError

        retries, longest = _retries(), self.length
        for _ in range(MOST_RESUMPTIONS):
            try:
                self._attempt(url, retries)
                return
            except _CutError as cut:
                if self.length > longest:
                    retries, longest = _retries(), self.length
                try:
                    retries = retries.increment("GET", url, error=cut)
                except MaxRetryError:
                    raise UserError(f"cannot download it: {cut}") from cut
                console.log(f"{cut}: trying again")
                retries.sleep()
        raise UserError(f"cannot download it: the connection was cut {MOST_RESUMPTIONS} times")

    def _attempt(self, url: str, retries: "Retry") -> None:
        import requests
        from requests.adapters import HTTPAdapter

        start = self.length
        headers = {"Accept-Encoding": "identity"}  # so that bytes received are bytes of the file
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=retries))
                with session.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
                    if not self._is_complete(answer, start):
                        self._receive(answer, start if answer.status_code == 206 else 0)
        except requests.exceptions.ChunkedEncodingError as error:
            raise _CutError("the connection was cut") from error
        except requests.exceptions.RetryError as error:
            raise UserError(f"cannot download it: the server answers {_status(error)}") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            if self.length > start:
                raise _CutError("the connection was cut") from error
            raise UserError(
                f"cannot download it: no connection ({type(error).__name__})"
            ) from error
        except requests.RequestException as error:
            raise UserError(f"cannot download it: {error}") from error

    def _is_complete(self, answer: "requests.Response", start: int) -> bool:
        """Whether the part is the whole file; raises an error if the answer is no part of it."""
        content_range = answer.headers.get("Content-Range", "")
        if answer.status_code == 416 and content_range == f"bytes */{start}":
            return True
        wrong = answer.status_code == 206 and not re.match(rf"bytes {start}-", content_range)
        if answer.status_code == 416 or wrong:
            self.path.unlink()
            raise _CutError(f"the server answers {answer.status_code} {answer.reason}")
        if answer.status_code not in (200, 206):
            raise UserError(
                f"cannot download it: the server answers {answer.status_code} {answer.reason}"
            )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            # Often a network's login page; the part is kept.
            raise UserError("cannot download it: the server answers with a web page")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise UserError("cannot download it: the server sends it compressed, unasked")
        return False

    def _receive(self, answer: "requests.Response", start: int) -> None:
        from tqdm import tqdm

        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if re.fullmatch(r"[0-9]{1,15}", length) else None
        if total is not None and total > self._most:
            raise UserError(
                f"cannot download it: the server has {total} bytes, {self._most} at most"
            )
        interval = 0.1 if sys.stderr.isatty() else 30.0  # seconds between two lines
        bar = tqdm(
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
            desc=self.path.stem,
            mininterval=interval,
        )
        with self.path.open("r+b" if self.path.exists() else "wb") as file, bar:
            file.truncate(start)
            file.seek(start)
            for chunk in answer.iter_content(CHUNK):
                if file.tell() + len(chunk) > self._most:
                    raise UserError(f"cannot download it: it is longer than {self._most} bytes")
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and self.length != total:
            raise _CutError("the connection was cut")


def _retries() -> "Retry":
    from urllib3.exceptions import InvalidHeader
    from urllib3.util.retry import Retry

    class Patient(Retry):
        """Ignores a Retry-After that cannot be parsed."""

        def parse_retry_after(self: Self, retry_after: str) -> float:
            try:
                return super().parse_retry_after(retry_after)
            except (InvalidHeader, ValueError, OverflowError):
                return 0.0

    return Patient(
        total=RETRIES,
        backoff_factor=1,
        backoff_max=LONGEST_WAIT,
        retry_after_max=LONGEST_WAIT,
        status_forcelist=TRANSIENT,
    )


def _status(error: Exception) -> str:
    """The last HTTP status of a `RetryError`, such as "503 Service Unavailable"."""
    from http import HTTPStatus

    match = re.search(r"too many (\d{3}) error", str(error))
    status = HTTPStatus(int(match[1])) if match else None
    return f"{status.value} {status.phrase}" if status else str(error)
