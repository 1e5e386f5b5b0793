"""Checkpoints are found, downloaded, resumed and refused as they should be, from a local server."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from maskquery.core.errors import UserError
from maskquery.models import checkpoints, download
from maskquery.models.checkpoints import Checkpoint

CONTENT = bytes(range(256)) * 4096  # 1 MiB
CUT = 4 * download.CHUNK  # bytes after which a connection is cut
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ROOT = Path(__file__).resolve().parents[2]

# What a server does with one request: it is given the handler and the Range's start.
Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Plays the server's list of answers, the last one for ever."""

    server: "Server"

    def do_GET(self) -> None:
        value = self.headers.get("Range", "bytes=0-")
        self.server.starts.append(int(value.removeprefix("bytes=").removesuffix("-")))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self, self.server.starts[-1])

    def reply(self, status: int, length: int = 0, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    answers: list[Answer]
    starts: list[int]  # where each request wanted the file to start


def serve(content: bytes = CONTENT, cut: int | None = None, ranges: bool = True) -> Answer:
    """Send `content`, from the Range's start if `ranges`; close the connection at byte `cut`."""

    def answer(handler: Handler, start: int) -> None:
        start = start if ranges else 0
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if start >= len(content):
            handler.reply(416, Content_Range=f"bytes */{len(content)}")
        elif start:
            handler.reply(206, len(content) - start, Content_Range=span)
            handler.wfile.write(content[start:cut])
        else:
            handler.reply(200, len(content))
            handler.wfile.write(content[:cut])
        handler.close_connection = True

    return answer


def refuse(status: int, **headers: str) -> Answer:
    return lambda handler, start: handler.reply(status, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.answers, server.starts = [serve()], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be slept, without sleeping them."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def models(
    server: Server, slept: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder for downloads, in a home of its own; `vit_b` is what the local server serves."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MASKQUERY_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    url = f"http://127.0.0.1:{server.server_address[1]}/model.pth"
    table = (Checkpoint("sam", "vit_b", "model.pth", SHA256, url),)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", table)
    return tmp_path / "models"


def test_clip_table_is_clips_own() -> None:
    from maskquery.clip.openai import MODELS

    ours = {c.model: (c.url, c.sha256) for c in checkpoints.CHECKPOINTS if c.kind == "clip"}
    del ours["tiny"]
    assert ours == {name: (url, url.split("/")[-2]) for name, url in MODELS.items()}


def test_sam_table_is_the_published_one() -> None:
    assert checkpoints.names("sam") == ("tiny", "vit_b", "vit_l", "vit_h", "mobile")
    assert checkpoints.find("sam", "vit_h").url == (
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"
    )


@pytest.mark.parametrize("kind", ["sam", "clip"])
def test_shipped_weights_are_those_of_the_table(kind: checkpoints.Kind) -> None:
    assert checkpoints.fetch(kind, "tiny").is_file()


def test_names_need_no_torch() -> None:
    code = "import sys; from maskquery.models import checkpoints; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_unknown_model_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"clip\.model: 'ViT-B/33' is unknown.*ViT-B/32"):
        checkpoints.fetch("clip", "ViT-B/33")


def test_changed_shipped_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match=r"sam\.safetensors is missing"):
        checkpoints.fetch("sam", "tiny")
    (tmp_path / "sam.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=r"sam\.safetensors is not the file"):
        checkpoints.fetch("sam", "tiny")


def test_right_bytes_are_downloaded_once(models: Path, server: Server) -> None:
    assert checkpoints.fetch("sam", "vit_b") == models / "model.pth"
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [0]
    assert {path.name for path in models.iterdir()} == {"model.pth", "model.pth.lock"}


@pytest.mark.parametrize(
    "place", ["torch_home/hub/checkpoints", "home/.cache/torch/hub/checkpoints", "home/.cache/clip"]
)
def test_usual_caches_are_looked_at_first(
    models: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    path = tmp_path / place / "model.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert checkpoints.fetch("sam", "vit_b") == path
    assert server.starts == []


def test_file_with_other_bytes_in_a_cache_is_not_used(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "home/.cache/clip/model.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    assert checkpoints.fetch("sam", "vit_b") == models / "model.pth"
    assert path.read_bytes() == CONTENT[:-1]


def test_a_cache_that_must_not_be_read_is_passed_by(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home/.cache/clip/model.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    opens = Path.open

    def refusing_open(self: Path, *args: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opens(self, *args)

    monkeypatch.setattr(Path, "open", refusing_open)
    assert checkpoints.fetch("sam", "vit_b") == models / "model.pth"


def test_a_web_page_does_not_take_the_place_of_what_has_come(models: Path, server: Server) -> None:
    models.mkdir()
    (models / "model.pth.part").write_bytes(CONTENT[:1000])
    server.answers = [refuse(200, Content_Type="text/html; charset=utf-8")]
    with pytest.raises(UserError, match="the server answers with a web page"):
        checkpoints.fetch("sam", "vit_b")
    assert (models / "model.pth.part").read_bytes() == CONTENT[:1000]


def test_wrong_bytes_are_refused_and_not_left(models: Path, server: Server) -> None:
    server.answers = [serve(CONTENT[:-1] + b"!")]
    with pytest.raises(UserError, match="other bytes than expected") as raised:
        checkpoints.fetch("sam", "vit_b")
    message = str(raised.value)
    assert "\n" not in message
    for part in ("sam model vit_b", str(server.server_address[1]), SHA256, str(models)):
        assert part in message
    assert [path.name for path in models.iterdir()] == ["model.pth.lock"]
    assert server.starts == [0]


def test_damaged_file_in_our_own_folder_is_replaced(models: Path) -> None:
    models.mkdir()
    (models / "model.pth").write_bytes(b"damaged")
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT


def test_cut_connection_is_resumed(models: Path, server: Server) -> None:
    server.answers = [serve(cut=CUT), serve(cut=2 * CUT), serve()]
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [0, CUT, 2 * CUT]


def test_download_that_another_process_began_is_resumed(models: Path, server: Server) -> None:
    models.mkdir()
    (models / "model.pth.part").write_bytes(CONTENT[:1000])
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [1000]


def test_complete_part_is_taken(models: Path, server: Server) -> None:
    models.mkdir()
    (models / "model.pth.part").write_bytes(CONTENT)
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [len(CONTENT)]


@pytest.mark.parametrize("garbage", [b"garbage", CONTENT + b"too long"])
def test_part_with_other_bytes_is_begun_anew(models: Path, server: Server, garbage: bytes) -> None:
    models.mkdir()
    (models / "model.pth.part").write_bytes(garbage)
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [len(garbage), 0]


def test_server_that_ignores_ranges_sends_everything_again(models: Path, server: Server) -> None:
    server.answers = [serve(cut=CUT), serve(ranges=False)]
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [0, CUT]


def test_server_that_sends_another_range_is_not_believed(models: Path, server: Server) -> None:
    wrong = refuse(206, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    server.answers = [serve(cut=CUT), wrong, serve()]
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert server.starts == [0, CUT, 0]


def test_connection_that_is_always_cut_ends(
    models: Path, server: Server, slept: list[float]
) -> None:
    server.answers = [serve(cut=CUT, ranges=False)]
    with pytest.raises(UserError, match="cannot download it"):
        checkpoints.fetch("sam", "vit_b")
    assert len(server.starts) == download.RETRIES + 1
    assert (models / "model.pth.part").stat().st_size == CUT


def test_missing_file_is_not_asked_for_twice(models: Path, server: Server) -> None:
    server.answers = [refuse(404)]
    with pytest.raises(UserError, match=r"404 Not Found.*by hand and put it at"):
        checkpoints.fetch("sam", "vit_b")
    assert server.starts == [0]


def test_busy_server_is_asked_again(models: Path, server: Server, slept: list[float]) -> None:
    server.answers = [refuse(503, Retry_After="7"), refuse(503), serve()]
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert slept == [7, 2]


def test_busy_server_is_not_asked_for_ever(
    models: Path, server: Server, slept: list[float]
) -> None:
    server.answers = [refuse(503, Retry_After="86400")]
    with pytest.raises(UserError, match="503 Service Unavailable"):
        checkpoints.fetch("sam", "vit_b")
    assert slept == [download.LONGEST_WAIT] * download.RETRIES


@pytest.mark.parametrize("wish", ["9" * 5000, "soon", "-3", "Fri, 99 Nov 2026 99:99:99 GMT"])
def test_a_wish_that_cannot_be_read_is_none(models: Path, server: Server, wish: str) -> None:
    server.answers = [refuse(503, Retry_After=wish), serve()]
    assert checkpoints.fetch("sam", "vit_b").read_bytes() == CONTENT
    assert len(server.starts) == 2


def unsized(length: str) -> Answer:
    """An answer whose length is not a number, and whose body ends with the connection."""

    def answer(handler: Handler, start: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(CONTENT)
        handler.close_connection = True

    return answer


@pytest.mark.parametrize("length", ["abc", "9" * 5000, "-1"])
def test_a_length_that_is_no_number_is_not_believed(
    models: Path, server: Server, slept: list[float], length: str
) -> None:
    models.mkdir()
    (models / "model.pth.part").write_bytes(CONTENT[:1000])
    server.answers = [unsized(length)]
    with contextlib.suppress(UserError):
        checkpoints.fetch("sam", "vit_b")
    assert len(server.starts) <= download.RETRIES + 3


def test_a_body_that_does_not_end_is_not_read_to_its_end(
    models: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    total_sent = 0

    def endless(handler: Handler, start: int) -> None:
        nonlocal total_sent
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                total_sent += handler.wfile.write(bytes(1 << 16))
        handler.close_connection = True

    url = checkpoints.CHECKPOINTS[0].url
    sized = Checkpoint("sam", "vit_b", "model.pth", SHA256, url, len(CONTENT))
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (sized,))
    server.answers = [endless]
    with pytest.raises(UserError, match=f"it is longer than {len(CONTENT)} bytes"):
        checkpoints.fetch("sam", "vit_b")
    assert total_sent < 64 << 20
    server.answers = [serve(CONTENT + b"!")]
    with pytest.raises(UserError, match=f"the server has {len(CONTENT) + 1} bytes"):
        checkpoints.fetch("sam", "vit_b")


def test_a_compressed_body_is_refused(models: Path, server: Server) -> None:
    server.answers = [refuse(200, Content_Encoding="gzip")]
    with pytest.raises(UserError, match="the server sends it compressed, unasked"):
        checkpoints.fetch("sam", "vit_b")


def test_the_bytes_that_are_read_are_those_that_were_hashed(models: Path) -> None:
    path = checkpoints.fetch("sam", "vit_b")
    other = path.with_name("other")
    other.write_bytes(CONTENT[::-1])
    with checkpoints.open_checkpoint("sam", "vit_b") as file:
        other.replace(path)
        assert file.read() == CONTENT


def test_a_file_is_hashed_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoints.fetch("sam", "vit_b")
    digest, hashed = hashlib.file_digest, []

    def counting_digest(file: Any, kind: Any) -> Any:
        hashed.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counting_digest)
    with checkpoints.open_checkpoint("sam", "vit_b"):
        pass
    assert hashed == [str(path)]


def test_a_file_that_is_replaced_after_its_download_is_refused(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download_other(_: str, target: Path, *__: object) -> None:
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(CONTENT[::-1])

    monkeypatch.setattr(checkpoints, "download", download_other)
    with pytest.raises(UserError, match=r"model\.pth was replaced after its download"):
        checkpoints.fetch("sam", "vit_b")


def test_offline_says_what_to_put_where(
    models: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Checkpoint("sam", "vit_b", "model.pth", SHA256, "http://127.0.0.1:1/model.pth")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (closed,))
    models.mkdir()
    (models / "model.pth").write_bytes(b"copied by hand, but cut off")
    with pytest.raises(UserError, match="no connection") as raised:
        checkpoints.fetch("sam", "vit_b")
    target = models / "model.pth"
    assert f"put it at {target}; {target} has another sha256" in str(raised.value)


def test_folder_that_cannot_be_written(models: Path) -> None:
    models.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot write .*model\.pth"):
        checkpoints.fetch("sam", "vit_b")


def test_two_processes_download_once(models: Path, server: Server) -> None:
    url = checkpoints.CHECKPOINTS[0].url
    code = f"""
from maskquery.models import checkpoints as c
c.CHECKPOINTS = (c.Checkpoint("sam", "vit_b", "model.pth", "{SHA256}", "{url}"),)
print(c.fetch("sam", "vit_b"))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [process.communicate()[0].strip() for process in processes]
    assert printed == [str(models / "model.pth")] * 2
    assert (models / "model.pth").read_bytes() == CONTENT
    assert server.starts == [0]
