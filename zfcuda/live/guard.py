"""What every request passes before anything else: the token, Host and Origin, the method; and the headers of answers.

The browser of the person at the page also opens pages of strangers. These must neither read nor ask anything here:
they do not know the token (a path without it is nowhere), they come from another Origin, and where a stranger's name
is made to lead to this address (DNS rebinding), Host is not ours.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS = ("GET", "POST", "DELETE")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Every address of ours is made of these: no percent sign, no second slash in a row, no dot before a dot.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9]+)*)*/?")
_FOREIGN = b"Open this page at the address that was printed where the server was started.\n"


class Hosts:
    """The values of Host that are ours.

    Args:
        port: where the server listens.
        loopback: whether it listens to this machine alone; else addresses in numbers and this machine's names are
            taken too, whom no stranger's name resolves to in a browser's Host.
    """

    def __init__(self, port: int, loopback: bool = True) -> None:
        self._port, self._loopback = port, loopback
        self._names = set(_LOOPBACK)
        if not loopback:
            own = socket.gethostname().lower()
            self._names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}

    def __contains__(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        if not colon or not port.isdecimal() or not port.isascii():  # a name alone, or [::1] without a port
            name, port = host.lower(), "80"
        if len(port) > 5:  # int() raises at thousands of digits
            return False
        return int(port) == self._port and (name in self._names or (not self._loopback and _is_address(name)))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]") if name.startswith("[") else name)
    except ValueError:
        return False
    return True


class Guard:
    """An application behind the token: what it is called with has a path without it.

    Args:
        app: whatever answers.
        token: the first part of every address.
        hosts: what Host may be.
    """

    def __init__(self, app: App, token: str, hosts: Hosts) -> None:
        self._app, self._token, self._hosts = app, token.encode(), hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        status, path = self._judged(scope)
        if scope["type"] == "websocket":
            if status != 200:
                return await send({"type": "websocket.close", "code": 1008})  # before accept: an answer 403
            return await self._app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, send)
        guarded = _with_headers(send)
        if status == 308:  # the address without its last slash
            location = (b"location", b"/" + self._token + b"/")
            return await _answer(guarded, 308, b"", [location])
        if status != 200:
            return await _answer(guarded, status, _FOREIGN if status == 403 else b"")
        await self._app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, guarded)

    def _judged(self, scope: Scope) -> tuple[int, str]:
        """(200, the path without the token), or (what is wrong, "")."""
        raw = bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "replace"))
        first, slash, rest = raw.removeprefix(b"/").partition(b"/")
        # Whoever does not know the token learns nothing, not even that Host is another.
        if not secrets.compare_digest(first, self._token) or not _PLAIN.fullmatch(raw):
            return 404, ""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, ""
        origins = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"]
        if any(origin != f"http://{hosts[0].lower()}" for origin in origins) or len(origins) > 1:
            return 403, ""
        if scope["type"] == "websocket":
            return (200, f"/{rest.decode()}") if origins else (403, "")
        if scope["method"] not in METHODS:
            return 405, ""
        return (200, f"/{rest.decode()}") if slash else (308, "")


def _with_headers(send: Send) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            more = [(n.encode(), v.encode()) for n, v in _HEADERS.items() if n.encode() not in there]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *(more or [])]
    if body:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if status == 405:
        headers.append((b"allow", ", ".join(METHODS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
