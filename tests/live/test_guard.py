"""What nobody gets past: the token, Host and Origin, methods; and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from zfcuda.live.guard import POLICY, Guard, Hosts

TOKEN = "t0ken-_"


def answer(
    path: str = f"/{TOKEN}/x", method: str = "GET", kind: str = "http", hosts: Hosts | None = None, **headers: str
) -> tuple[int, dict[str, str], str | None]:
    """(status, headers, the path that came through) of a request."""
    came: list[str] = []
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        came.append(scope["path"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = {"host": "127.0.0.1:80"} | headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
    }
    asyncio.run(Guard(app, TOKEN, hosts or Hosts(80))(scope, None, send))  # type: ignore[arg-type]
    if kind == "websocket":
        return (200 if came else 403), {}, came[0] if came else None
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], said, came[0] if came else None


def test_what_is_ours_comes_through_without_the_token() -> None:
    status, headers, path = answer(f"/{TOKEN}/web/theme.css")
    assert (status, path) == (200, "/web/theme.css")
    assert headers["content-security-policy"] == POLICY and headers["x-content-type-options"] == "nosniff"
    assert answer(f"/{TOKEN}/")[2] == "/"


def test_an_address_without_its_last_slash_leads_to_the_page() -> None:
    status, headers, path = answer(f"/{TOKEN}")
    assert (status, headers["location"], path) == (308, f"/{TOKEN}/", None)


@pytest.mark.parametrize(
    "path",
    ["/", "", "/other/", f"/{TOKEN}x/", f"//{TOKEN}/", f"/x/{TOKEN}/", f"/{TOKEN[:-1]}/", "/töken/", f"/{TOKEN}?/"],
)
def test_who_does_not_know_the_token_learns_nothing(path: str) -> None:
    status, headers, came = answer(path, host="evil.example")
    assert (status, came, headers["content-length"]) == (404, None, "0")
    assert headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    "rest",
    [
        *("../etc/passwd", "web/../app.py", "web/..", "web/%2e%2e/app.py", "web/%2e%2e%2fapp.py", "web%2ftheme.css"),
        *("web//etc/passwd", "/etc/passwd", "web/\\etc", "web/a%00.css", "web/a\x00.css", "web/.hidden", "web/a..css"),
        *("./networks", "web/theme.css/.", "web/\u202e.css", "%77eb/theme.css"),
    ],
)
def test_no_path_leads_elsewhere(rest: str) -> None:
    assert answer(f"/{TOKEN}/{rest}")[::2] == (404, None)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:80", "LOCALHOST:80", "[::1]:80", "localhost", "[::1]"])
def test_hosts_of_loopback(host: str) -> None:
    assert answer(host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "127.0.0.1:81", "127.0.0.1.evil.example:80", "localhost.:80", ""),
        *(
            "127.0.0.1:80, evil.example",
            "127.0.0.2:80",
            "192.168.0.9:80",
            "127.0.0.1:",
            "127.0.0.1:８０",
            "@127.0.0.1:80",
        ),
    ],
)
def test_foreign_hosts(host: str) -> None:
    assert answer(host=host)[::2] == (403, None)


def test_hosts_of_the_network() -> None:
    hosts = Hosts(80, loopback=False)
    assert "192.168.0.9:80" in hosts and "[fe80::1]:80" in hosts and "localhost:80" in hosts
    assert "evil.example:80" not in hosts and "192.168.0.9:81" not in hosts


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:80", "http://127.0.0.1:81", "http://localhost:80", "x"]
)
def test_foreign_origins(origin: str, kind: str) -> None:
    assert answer(method="POST", kind=kind, origin=origin)[::2] == (403, None)


def test_own_origin() -> None:
    assert answer(method="POST", origin="http://127.0.0.1:80")[0] == 200
    assert answer(kind="websocket", origin="http://127.0.0.1:80")[2] == "/x"


def test_a_websocket_has_to_say_where_it_comes_from() -> None:
    assert answer(kind="websocket")[0] == 403


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "get"])
def test_other_methods(method: str) -> None:
    status, headers, came = answer(method=method)
    assert (status, came, headers["allow"]) == (405, None, "GET, POST, DELETE")


def test_a_port_of_thousands_of_digits_is_another_port() -> None:
    assert f"localhost:{'9' * 5000}" not in Hosts(80)
