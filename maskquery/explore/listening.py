"""Where the server listens, and how long it waits for whoever calls."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from maskquery.core import console
from maskquery.core.errors import UsageError, UserError
from maskquery.explore.headers import HEADERS, Headers, SameSite

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 200
SECONDS = 20.0
"""How long a connection may take for a request, from its first byte to its last."""


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """The address that a name or number stands for, as a socket takes it.

    Raises:
        UsageError: it stands for all addresses of the machine.
        UserError: it stands for none.
    """
    try:
        addresses = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104
    except (OSError, UnicodeError) as error:
        raise _not_listened(host, port, error) from None
    for _, _, _, _, address in addresses:
        number = ipaddress.ip_address(str(address[0]))
        mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
        if (mapped or number).is_unspecified:
            raise UsageError(
                f"--host {host or repr(host)} names no machine",
                "give the address that browsers call",
            )
    family, _, _, _, address = addresses[0]
    return family, address


def serve(application: FastAPI, host: str, port: int, names: Sequence[str] = ()) -> None:
    """Serve until interrupted.

    Args:
        application: what answers.
        host: an address or name of this machine.
        port: 0 takes a free one.
        names: further ones by which browsers may call, such as that of a port forwarding.

    Raises:
        UserError: the address cannot be had.
    """
    family, address = resolve(host, port)
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()  # whoever reads the address may call at once
        except (OSError, OverflowError) as error:
            raise _not_listened(host, port, error) from None
        shown = f"[{host}]" if ":" in host else host
        console.log(f"explore: http://{shown}:{listener.getsockname()[1]}/ (Ctrl+C ends it)")
        hosts = [host, str(address[0]), "localhost", LOOPBACK, "::1", *names]
        uvicorn.Server(config(application, hosts)).run(sockets=[listener])


def config(application: FastAPI, hosts: Sequence[str]) -> uvicorn.Config:
    """How an application is served to browsers that call it by one of the hosts' names."""
    guarded: ASGIApp = Headers(SameSite(application, hosts))
    return uvicorn.Config(
        guarded,
        log_level="warning",
        http=Protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
    )


class Protocol(H11Protocol):
    """HTTP/1.1 in which a request has `SECONDS` to arrive, and refusals carry `HEADERS`."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_request()
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(SECONDS, self._close_if_unfinished)

    def _close_if_unfinished(self) -> None:
        # A request that has come whole, and is being answered, may take as long as it takes.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._deadline.cancel()  # from here on the keep-alive's own time runs
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        if self._deadline.cancelled():
            self._expect_request()
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        self.transport.write(
            self.conn.send(
                h11.Response(
                    status_code=400,
                    headers=[
                        *HEADERS.items(),
                        ("content-type", "text/plain; charset=utf-8"),
                        ("connection", "close"),
                    ],
                    reason=b"Bad Request",
                )
            )
            + self.conn.send(h11.Data(data=msg.encode("ascii")))
            + self.conn.send(h11.EndOfMessage())
        )
        self.transport.close()


def _not_listened(host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{host}:{port} cannot be listened on ({reason})", "give another --port")
