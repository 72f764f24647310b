"""Listens, says where, and ends at once when it is told to."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from zfcuda.files.signals import noted
from zfcuda.live.guard import App, Hosts
from zfcuda.live.limits import Limits
from zfcuda.live.warned import sorted_by_thread

_GRACE = 1  # seconds that answers under way may take when the server ends
_LOOK = 0.1  # seconds between two looks whether a signal came


class Listening:
    """A socket that is bound, and the address of what will answer there.

    Args:
        port: 0 takes a free one.
        network: listen to other machines too.

    Raises:
        ValueError: the port is taken, or may not be used.
    """

    def __init__(self, port: int = 0, network: bool = False) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"--port: expected 0 to 65535, got {port}")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind(("0.0.0.0" if network else "127.0.0.1", port))
        except OSError as error:
            self.socket.close()
            taken = error.errno == errno.EADDRINUSE
            why = "something listens there already" if taken else error.strerror or str(error)
            raise ValueError(f"--port {port}: {why}; --port 0 takes a free one") from None
        self.port = int(self.socket.getsockname()[1])
        self.token = secrets.token_urlsafe(24)
        self.loopback = not network
        self.hosts = Hosts(self.port, loopback=not network)
        self.address = f"http://127.0.0.1:{self.port}/{self.token}/"


class _Server(uvicorn.Server):
    """Uvicorn without its own idea of signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(app: App, listening: Listening, *, browser: bool, limits: Limits, path: str = "") -> None:
    """Serves until a signal comes, which then goes on to whoever handles it.

    Args:
        app: the application, behind its guard.
        browser: open the page there.
        path: of the page, behind the token.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        ws="auto",
        ws_max_size=limits.frame,
        ws_per_message_deflate=False,
        limit_concurrency=256,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=16 * 1024,
        http="h11",
    )
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn").propagate = False
    server = _Server(config)

    def listens() -> None:
        print(f"{listening.address}{path}", flush=True)
        if browser:
            threading.Thread(target=_open, args=(f"{listening.address}{path}",), daemon=True).start()

    if not listening.loopback:
        print(
            "zfcuda: other computers can connect too, under this one's name in the place of 127.0.0.1; whoever "
            "knows the whole address can use the page, and what goes over the network is not encrypted",
            file=sys.stderr,
            flush=True,
        )
    with noted() as came, sorted_by_thread():
        asyncio.run(_until(server, listening.socket, came, listens))


async def _until(server: uvicorn.Server, bound: socket.socket, came: list[int], listens: Callable[[], None]) -> None:
    serving = asyncio.ensure_future(server.serve([bound]))
    told = False
    while not serving.done():
        if server.started and not told:
            told = True
            listens()
        if came:
            server.should_exit = True
            if len(came) > 1:
                server.force_exit = True
        await asyncio.wait({serving}, timeout=_LOOK)
    await serving


def _open(address: str) -> None:
    screen = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screen):
        return  # what there may be opens in this terminal
    try:
        webbrowser.open(address)
    except Exception:  # there is none, and the address is printed anyway
        print("zfcuda: no browser could be opened", file=sys.stderr)
