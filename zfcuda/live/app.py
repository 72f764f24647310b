"""The application: its addresses, behind the guard. Others put addresses of their own beside these."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from zfcuda.live.aside import aside
from zfcuda.live.desk import Desk
from zfcuda.live.guard import Guard, Hosts
from zfcuda.live.scheduler import Scheduler
from zfcuda.live.session import Session
from zfcuda.live.uploads import Room, UploadError, read_upload
from zfcuda.live.visitors import Kept, RefusedError, Visitor, Visitors
from zfcuda.methods.table import METHODS
from zfcuda.version import __version__
from zfcuda.web import colours_block

_TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html", ".svg": "image/svg+xml"}
_TIDY = 15  # seconds between two looks at who has left
_SHOWN = 1600  # pixels of the longer side of an upload that is sent back


class Server:
    """Everything that the addresses need.

    Args:
        desk: answers.
        visitors: who is there.
    """

    def __init__(self, desk: Desk, visitors: Visitors) -> None:
        self.desk, self.visitors = desk, visitors
        self.scheduler = Scheduler()
        desk.networks.changed = self.scheduler.wake
        self._room = Room(limits=desk.limits)
        self._decoding = threading.Semaphore(1)  # two large pictures at once would take twice the memory

    def routes(self) -> list[BaseRoute]:
        """The addresses of the microscope."""
        return [
            Route("/", page("zfcuda.live", "microscope.html")),
            Route("/networks", self._networks),
            Route("/networks/{name}", self._network),
            Route("/pictures", self._upload, methods=["POST"]),
            Route("/pictures/{identity}", self._picture, methods=["GET", "DELETE"]),
            WebSocketRoute("/work", self._work),
        ]

    async def _networks(self, request: Request) -> Response:
        desk, limits = self.desk, self.desk.limits
        return JSONResponse(
            {
                "networks": desk.networks.listed(),
                "methods": [
                    {
                        "name": one.name,
                        "title": one.title,
                        "signed": one.signed,
                        "reading": one.reading,
                        "source": one.source,
                    }
                    for one in METHODS.values()
                ],
                "limits": {"bytes": limits.bytes, "pixels": limits.pixels, "pictures": limits.pictures},
                "offered": [
                    {"id": kept.identity, "name": kept.name, "network": kept.network} for kept in desk.offered.values()
                ],
                "version": __version__,
            }
        )

    async def _network(self, request: Request) -> Response:
        try:
            network = await aside(partial(self.desk.networks.get, request.path_params["name"]))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 404)
        return JSONResponse(network.facts())

    async def _upload(self, request: Request) -> Response:
        limits = self.desk.limits
        try:
            visitor = self.visitors.visitor(request.headers.get("x-visitor"))
            parts = await read_upload(request.headers, request.stream(), limits, self._room)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, 400)
        except UploadError as error:
            return JSONResponse({"error": str(error)}, error.status, {"connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        pictures, refused = [], []
        for part in parts:
            try:
                if part.data is None:
                    raise RefusedError(f"{part.name}: larger than the {limits.bytes >> 20} MB that a picture may have")
                kept = await aside(partial(self._decoded, visitor, bytes(part.data), part.name))
                pictures.append({"id": kept.identity, "name": kept.name, "width": kept.width, "height": kept.height})
            except ValueError as error:
                refused.append({"name": part.name, "reason": str(error)})
            part.data = None
        return JSONResponse({"pictures": pictures, "refused": refused})

    def _decoded(self, visitor: Visitor, data: bytes, name: str) -> Kept:
        with self._decoding:
            return self.visitors.add(visitor, data, name)

    async def _picture(self, request: Request) -> Response:
        visitor = self.visitors.known(request.query_params.get("visitor"))
        identity = request.path_params["identity"]
        if request.method == "DELETE":
            found = visitor is not None and self.visitors.remove(visitor, identity)
            return Response(status_code=204 if found else 404)
        kept = self.desk.offered.get(identity)
        if kept is None and visitor is not None:
            kept = visitor.pictures.get(identity)
        if kept is None:
            return Response(status_code=404)
        try:
            data, kind = await aside(partial(self._encoded, kept))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(data, media_type=kind)

    def _encoded(self, kept: Kept) -> tuple[bytes, str]:
        """A picture as it is sent back: upright, without whatever else the file held, and no larger than a screen."""
        with self._decoding:
            picture = kept.read()
        picture.thumbnail((_SHOWN, _SHOWN), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        small = picture.width * picture.height <= 512 * 512
        picture.save(stream, "PNG" if small else "JPEG", **({} if small else {"quality": 92}))
        return stream.getvalue(), "image/png" if small else "image/jpeg"

    async def _work(self, socket: WebSocket) -> None:
        try:
            visitor = self.visitors.came(socket.query_params.get("visitor"))
        except RefusedError:
            return await socket.close(1008)
        try:
            await socket.accept()
            await Session(socket, visitor, self.desk, self.scheduler).run()
        finally:
            self.visitors.left(visitor)


def application(server: Server | None, token: str, hosts: Hosts, routes: Sequence[BaseRoute] = ()) -> Guard:
    """The whole application.

    Args:
        server: the microscope; None: there are the other addresses alone.
        token: the first part of every address.
        hosts: what Host may be.
        routes: more addresses, which come before the microscope's own; they are behind the same guard.
    """

    @asynccontextmanager
    async def living(app: Any) -> AsyncIterator[None]:
        if server is None:
            yield
            return
        tidying = asyncio.ensure_future(_tidy(server))
        try:
            yield
        finally:
            tidying.cancel()
            server.scheduler.close()

    app = Starlette(
        routes=[*routes, *(server.routes() if server is not None else ()), Route("/web/{name}", _web)],
        lifespan=living,
        exception_handlers={HTTPException: _plain, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return Guard(app, token, hosts)


def page(package: str, name: str) -> Any:
    """What answers with a page that is a file of a package; ``<!--colours-->`` in it becomes what colours.js reads."""

    async def answer(request: Request) -> Response:
        text = files(package).joinpath(name).read_text("utf-8")
        return Response(text.replace("<!--colours-->", colours_block()), media_type="text/html; charset=utf-8")

    return answer


async def _web(request: Request) -> Response:
    """A file that pages are made of; which there are, the package says, and not who asks."""
    there = {one.name: one for one in files("zfcuda.web").iterdir()}
    name = request.path_params["name"]
    kind = _TYPES.get(name[name.rfind(".") :])
    if name not in there or kind is None:
        return Response(status_code=404)
    return Response(there[name].read_bytes(), media_type=f"{kind}; charset=utf-8")


async def _tidy(server: Server) -> None:
    while True:
        await asyncio.sleep(_TIDY)
        server.desk.forget(server.visitors.tidy())


async def _plain(request: Request, error: Exception) -> Response:
    return Response(status_code=error.status_code if isinstance(error, HTTPException) else 500)


async def _failed(request: Request, error: Exception) -> Response:
    return Response(status_code=500)
