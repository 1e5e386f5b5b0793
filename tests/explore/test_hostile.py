"""Whatever is sent, the server refuses it in one line, with the headers of every other answer."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from maskquery.core.errors import UsageError
from maskquery.explore import listening
from maskquery.explore.headers import HEADERS
from maskquery.explore.server import MAX_BODY
from tests.explore import site
from tests.explore.site import SCORES, WIDE, Server

SCORING = {"classes": {"chair": ["a chair"]}, "text": [], "scores": SCORES}


def scores_body(**changes: Any) -> dict[str, Any]:
    """A request for scores, with other settings."""
    return {"image": WIDE, "settings": SCORING | changes}


def section(**changes: Any) -> dict[str, Any]:
    """A request for scores, with other values in the section `scores`."""
    return scores_body(scores=SCORES | changes)


def search(**changes: Any) -> dict[str, Any]:
    return {"text": None, "image": None, "mask": None, "count": 5} | changes


SCORES_URL, CURVES_URL = "/api/scores", "/api/curves"
BODIES: list[tuple[str, Any]] = [
    (SCORES_URL, ""),
    (SCORES_URL, "{"),
    (SCORES_URL, "null"),
    (SCORES_URL, "[]"),
    (SCORES_URL, '"text"'),
    (SCORES_URL, "[" * 100_000),
    (SCORES_URL, '{"image":' * 10_000),
    (SCORES_URL, b"\xff\xfe\x00"),
    (SCORES_URL, '{"image": "\\ud800", "settings": {}}'),
    (SCORES_URL, json.dumps(scores_body()).replace("0.05", "NaN")),
    (SCORES_URL, json.dumps(scores_body()).replace("0.05", "Infinity")),
    (SCORES_URL, json.dumps(scores_body()).replace("0.05", "-Infinity")),
    (SCORES_URL, json.dumps(scores_body()).replace("0.05", "1e999")),
    (SCORES_URL, json.dumps(scores_body()).replace("0.05", "9" * 5_000)),
    *((SCORES_URL, section(temperature=value)) for value in (0, -1, 1e-320, 1e308, "1", None, [1])),
    *((SCORES_URL, section(quality=value)) for value in (-1, 1e308, True, {})),
    (SCORES_URL, section(templates=[])),
    (SCORES_URL, section(templates=["no place"])),
    (SCORES_URL, section(templates=["{}"] * 501)),
    (SCORES_URL, section(negative_prompts=["a"] * 501)),
    (SCORES_URL, section(negative_prompts=["a" * 1001])),
    (SCORES_URL, section(scoring="best")),
    (SCORES_URL, section(scoring="relevancy", negative_prompts=[])),
    (SCORES_URL, section(scoring="sigmoid")),  # the tiny model has none
    (SCORES_URL, section(unknown=1)),
    (SCORES_URL, section(view_weights={})),
    (SCORES_URL, scores_body(classes={})),
    (SCORES_URL, scores_body(classes=[])),
    (SCORES_URL, scores_body(classes={"chair": []})),
    (SCORES_URL, scores_body(classes={"chair": ["a chair"] * 501})),
    (SCORES_URL, scores_body(classes={"chair": ["a" * 1001]})),
    (SCORES_URL, scores_body(classes={"chair": [1]})),
    (SCORES_URL, scores_body(classes={"chair": "a chair"})),
    (SCORES_URL, scores_body(classes={" ": ["a chair"]})),
    (SCORES_URL, scores_body(classes={"c" * 1001: ["a chair"]})),
    (SCORES_URL, scores_body(classes={str(number): ["a"] for number in range(2001)})),
    (SCORES_URL, scores_body(text=["a"] * 51)),
    (SCORES_URL, scores_body(text=["a" * 501])),
    (SCORES_URL, scores_body(text=["chair " * 83])),
    (SCORES_URL, scores_body(text=[""])),
    (SCORES_URL, scores_body(text=None)),
    (SCORES_URL, scores_body(classes={f"{n}": ["a"] * 500 for n in range(60)})),
    (SCORES_URL, {**scores_body(), "image": "nothing"}),
    (SCORES_URL, {**scores_body(), "image": ""}),
    (SCORES_URL, {**scores_body(), "image": 1}),
    (SCORES_URL, {**scores_body(), "image": "../../params"}),
    (SCORES_URL, {**scores_body(), "image": "a" * 1001}),
    (SCORES_URL, {**scores_body(), "more": 1}),
    (CURVES_URL, {"images": [WIDE] * 201, "column": 0, "settings": SCORING}),
    (CURVES_URL, {"images": [WIDE], "column": 1, "settings": SCORING}),
    (CURVES_URL, {"images": [WIDE], "column": -1, "settings": SCORING}),
    (CURVES_URL, {"images": [WIDE], "column": 10**30, "settings": SCORING}),
    (CURVES_URL, {"images": [WIDE], "column": 0.5, "settings": SCORING}),
    (CURVES_URL, {"images": ["nothing"], "column": 0, "settings": SCORING}),
    (CURVES_URL, {"images": WIDE, "column": 0, "settings": SCORING}),
    *(
        ("/api/search", search(image=WIDE, mask=mask))
        for mask in ("9" * 5_000, "1" * 20, "-1", "²")
    ),
    ("/api/search", search(image=WIDE, mask=7)),
    ("/api/search", search(image=WIDE, mask="99999999999999999999")),
    ("/api/search", search(image="nothing", mask="1")),
    ("/api/search", search(text="a", image=WIDE, mask="1")),
    ("/api/search", search(text="a", count=0)),
    ("/api/search", search(text="a", count=10**9)),
    ("/api/search", search(text=" ")),
    *(("/api/experiment", {"settings": SCORING, "threshold": t}) for t in (2, "0", None, True)),
]
TARGETS = [
    f"/api/crop?image={quote(WIDE)}&mask=" + "9" * 5_000,
    f"/api/crop?image={quote(WIDE)}&mask=1e3",
    f"/api/crop?image={quote(WIDE)}&mask=1",
    f"/api/crop?image={quote(WIDE)}&mask=18446744073709551616",
    f"/api/crop?image={quote(WIDE)}",
    "/api/picture?image=%ff%fe",
    "/api/picture?image=a&image=b",
    "/api/picture?image=" + "a" * 2_000,
    f"/api/picture?image={quote(WIDE)}&more=1",
    f"/api/picture?image={quote(WIDE)}&version=" + "v" * 65,
    "/api/image?image=../../params.yaml",
    "/api/image?image=a/../a/wide",
    "/api/nothing",
    "/docs",
    "/openapi.json",
    "/static/",
    "/static/%00",
    "/static/" + "a" * 5_000,
    "//evil.example/",
    "/api/scores",
]


def ask(
    server: Server, method: str, target: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, and body."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.putrequest(method, target, skip_host="Host" in given)
    if body and "content-length" not in given:
        given["content-length"] = str(len(body))
    for key, value in given.items():
        connection.putheader(key, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    result = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return result


def expect_refused(answer: tuple[int, dict[str, str], bytes]) -> str:
    """A 4xx in one line, with the headers; the line."""
    status, headers, body = answer
    assert 400 <= status < 500, (status, body[:300])
    assert HEADERS.items() <= headers.items()
    if status == 413:  # of a body that nobody has read
        line = body.decode()
    else:
        problem = json.loads(body)
        assert problem.keys() == {"error"}
        line = problem["error"]
    assert line.strip()
    assert len(line.splitlines()) == 1
    assert len(line) < 1500
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(
    ("path", "body"), BODIES, ids=[f"{place}{path}" for place, (path, _) in enumerate(BODIES)]
)
def test_a_body_that_does_not_fit(server: Server, path: str, body: Any) -> None:
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    data = text.encode() if isinstance(text, str) else text
    expect_refused(ask(server, "POST", path, data, content_type="application/json"))


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_an_address_that_does_not_fit(server: Server, target: str) -> None:
    expect_refused(ask(server, "GET", target))


def test_a_long_body_is_refused_before_it_is_read(server: Server) -> None:
    kind = {"content_type": "application/json"}
    announced = ask(server, "POST", SCORES_URL, content_length=str(10**10), **kind)
    assert announced[0] == 413
    expect_refused(announced)
    data = b" " * (MAX_BODY + 1)
    chunked = b"".join(
        f"{len(data[at : at + 65536]):x}\r\n".encode() + data[at : at + 65536] + b"\r\n"
        for at in range(0, len(data), 65536)
    )
    raw = (
        f"POST {SCORES_URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    assert b" 413 " in spoken(server, raw + chunked + b"0\r\n\r\n").splitlines()[0]


def spoken(server: Server, data: bytes) -> bytes:
    """What the server says to bytes, until it closes or is silent for a while."""
    address = urlsplit(server.url)
    answer = b""
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_proper_request(server: Server, data: bytes) -> None:
    answer = spoken(server, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400", answer[:200]
    lines = {line.lower() for line in head.decode().splitlines()}
    assert {f"{key}: {value}".lower() for key, value in HEADERS.items()} <= lines
    assert len(body.splitlines()) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Host": "localhost.evil.example"}, 400),
        ({"Host": "localhost@evil.example"}, 400),
        ({"Host": ""}, 400),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": ""}, 415),
    ],
)
def test_another_site_is_refused(server: Server, headers: dict[str, str], status: int) -> None:
    kind = {"content_type": "application/json"} | headers
    body = json.dumps(search(text="a chair")).encode()
    answer = ask(server, "POST", "/api/search", body, **kind)
    expect_refused(answer)
    assert answer[0] == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "POST", "BREW"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    expect_refused(ask(server, method, "/api/workspace"))


def test_pages_of_its_own_names_are_served(server: Server) -> None:
    port = urlsplit(server.url).port
    for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "LOCALHOST"):
        status, headers, _ = ask(server, "GET", "/", Host=name, Origin=f"http://{name}")
        assert status == 200
        assert HEADERS.items() <= headers.items()


def test_a_further_name_can_be_allowed(workspace: Any) -> None:
    name = "made-up-8765.app.github.dev"
    with site.serving(workspace.folder, workspace.cache, "--allow-host", name) as forwarded:
        assert ask(forwarded, "GET", "/", Host=name, Origin=f"https://{name}")[0] == 200
        assert "--allow-host" in expect_refused(ask(forwarded, "GET", "/", Host="other.example"))


@pytest.mark.parametrize(
    "host", ["", "0", "0x0", "0.0", "0.0.0.0", "::", "::0", "0::0", "::ffff:0.0.0.0", "::ffff:0:0"]
)
def test_all_addresses_of_the_machine_are_no_host(host: str) -> None:
    with pytest.raises(UsageError, match="names no machine"):
        listening.resolve(host, 8765)


def test_names_and_numbers_of_this_machine_are_hosts() -> None:
    for host in ("localhost", "127.0.0.1", "127.1", "::1"):
        _, address = listening.resolve(host, 0)
        assert address[0] in ("127.0.0.1", "::1")


def test_a_request_that_does_not_end_is_closed() -> None:
    """The server's own seconds are many: the protocol is run with fewer."""
    import asyncio

    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/")
    async def body(data: dict[str, Any]) -> dict[str, Any]:
        return data

    async def closed(port: int, data: bytes) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 10) == b""
        except ConnectionError:
            return True
        finally:
            writer.close()

    async def check(port: int, listener: socket.socket) -> None:
        server = uvicorn.Server(listening.config(app, ["localhost"]))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        whole = head + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        assert await closed(port, b"")
        assert await closed(port, head)
        assert await closed(port, whole)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole + b"{}")
        assert b" 200 " in await reader.readline()
        writer.close()
        server.should_exit = True
        await running

    with pytest.MonkeyPatch.context() as patch, socket.socket() as listener:
        patch.setattr(listening, "SECONDS", 0.3)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        # In a thread of its own: the browser's tests may have left a loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(check(listener.getsockname()[1], listener))).result()
