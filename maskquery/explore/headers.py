"""Headers of every answer, and by which names a browser may call the server.

A page of another site may make a browser send requests here, under a name of its own that points
here. So a request whose `Host` or `Origin` names another machine is refused.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Headers:
    """`HEADERS` on every answer that does not have its own."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                extra = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in extra if pair[0] not in given),
                ]
            await send(message)

        await self._inner(scope, receive, send_with_headers)


class SameSite:
    """Only requests that call the server by one of its names, from a page of its own."""

    def __init__(self, inner: ASGIApp, hosts: Collection[str]) -> None:
        self._inner, self._hosts = inner, {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(scope)):
            status, text = problem
            await JSONResponse({"error": text}, status)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        given = {key: value.decode("latin-1") for key, value in scope["headers"]}
        host = _name(f"//{given.get(b'host', '')}")
        if host not in self._hosts:
            return 400, f"this server is not called {host[:200]!r}: see --allow-host"
        if (origin := given.get(b"origin")) is not None and _name(origin) not in self._hosts:
            return 403, f"a page of {origin[:200]!r} may ask nothing here: see --allow-host"
        return None


def _name(address: str) -> str:
    """The machine that an address names, in small letters; "" if it names none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
