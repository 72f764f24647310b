"""A server of a tiny network for tests, which talk to it without a socket in between."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tests.report import small

pytest.importorskip("starlette", reason="the extra live")
pytest.importorskip("httpx")
pytest.importorskip("python_multipart")

from starlette.testclient import TestClient, WebSocketTestSession

from zfcuda.live.app import Server, application
from zfcuda.live.desk import Desk
from zfcuda.live.guard import Hosts
from zfcuda.live.limits import Limits
from zfcuda.live.networks import Networks
from zfcuda.live.patches import Patches
from zfcuda.live.visitors import Kept, Visitors

TOKEN, PORT = "a-token", 8123
ORIGIN = f"http://127.0.0.1:{PORT}"
ANNA, BERT = "visitor-anna", "visitor-bert"
HEADERS = {"origin": ORIGIN, "host": f"127.0.0.1:{PORT}"}  # the test client has a host of its own for websockets


@contextmanager
def client(
    model: nn.Module | None = None,
    *,
    limits: Limits | None = None,
    offered: dict[str, Kept] | None = None,
    patches: tuple[Patches, ...] = (),
) -> Iterator[Client]:
    """A server of the small network, called "small", and who talks to it."""
    limits = limits or Limits()
    networks = Networks(lambda name: small.subject(model), {"small": "a small network"})
    server = Server(Desk(networks, offered or {}, limits, patches), Visitors(limits))
    app = application(server, TOKEN, Hosts(PORT))
    with TestClient(app, base_url=ORIGIN) as http:  # type: ignore[arg-type]
        yield Client(http, server)


class Client:
    """Who talks to the server, as one page or several."""

    def __init__(self, http: TestClient, server: Server) -> None:
        self.http, self.server = http, server

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(f"/{TOKEN}/{path}", **more)

    def post(self, *pictures: tuple[str, bytes], visitor: str = ANNA, **headers: str) -> Any:
        """Uploads pictures."""
        files = [("picture", (name, data, "image/png")) for name, data in pictures]
        return self.http.post(f"/{TOKEN}/pictures", files=files, headers={"X-Visitor": visitor, **headers})

    def upload(self, picture: Image.Image, visitor: str = ANNA) -> str:
        """Uploads one, and returns its identity."""
        [found] = self.post(("one.png", png(picture)), visitor=visitor).json()["pictures"]
        return str(found["id"])

    @contextmanager
    def work(self, visitor: str = ANNA) -> Iterator[Talk]:
        """A connection for work."""
        with self.http.websocket_connect(f"/{TOKEN}/work?visitor={visitor}", headers=HEADERS) as socket:
            yield Talk(socket)


class Talk:
    """Asks on a websocket, and reads the answers."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self._id = 0

    def say(self, kind: str, **fields: Any) -> int:
        """Sends a question; returns its id."""
        self._id += 1
        self.socket.send_text(json.dumps({"kind": kind, "id": self._id, **fields}))
        return self._id

    def hear(self) -> dict[str, Any]:
        """The next answer; its numbers, where it has some, are in "values"."""
        answer: dict[str, Any] = json.loads(self.socket.receive_text())
        if "bytes" in answer:
            data = self.socket.receive_bytes()
            assert len(data) == answer["bytes"]
            answer["values"] = np.frombuffer(data, "<f4")
        return answer

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Asks what has one answer."""
        identity = self.say(kind, **fields)
        answer = self.hear()
        assert answer["id"] == identity and answer["kind"] == kind, answer
        return answer

    def asks(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Asks what has several answers, the last of which is complete, or an error."""
        self.say(kind, **fields)
        answers = [self.hear()]
        while not answers[-1].get("complete") and "error" not in answers[-1]:
            answers.append(self.hear())
        return answers


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
