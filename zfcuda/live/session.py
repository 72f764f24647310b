"""One connection for work: what comes in is asked, what is answered goes out, and neither piles up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from zfcuda.live.answers import QUESTIONS
from zfcuda.live.desk import Desk
from zfcuda.live.messages import Answer, Message, MessageError, said
from zfcuda.live.scheduler import Question, Scheduler
from zfcuda.live.visitors import Visitor

_POINTER = ("look", "occlude")  # of these, one that is not sent yet is replaced by a newer one
_TOO_SLOW, _TOO_LARGE = 1013, 1009


class Outbox:
    """What waits to be sent on one connection; only the event loop touches it.

    most: bytes that may wait. A client who does not read gets no more than that, and is then left.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Answer] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self.overflowed = False

    def put(self, answer: Answer) -> None:
        """Adds an answer; one to the pointer takes the place of an older one that still waits."""
        if self.overflowed:
            return
        kind = answer.header.get("kind")
        if kind in _POINTER:
            for older in [each for each in self._waiting if each.header.get("kind") == kind]:
                self._waiting.remove(older)
                self._bytes -= older.size
        self._waiting.append(answer)
        self._bytes += answer.size
        if self._bytes > self._most:
            self.overflowed = True
            self._waiting.clear()
        self._changed.set()

    async def next(self) -> Answer | None:
        """The next answer; None: too many waited."""
        while not self._waiting and not self.overflowed:
            self._changed.clear()
            await self._changed.wait()
        if self.overflowed:
            return None
        answer = self._waiting.popleft()
        self._bytes -= answer.size
        return answer


class Session:
    """The conversation on one accepted websocket."""

    def __init__(self, socket: WebSocket, visitor: Visitor, desk: Desk, scheduler: Scheduler) -> None:
        self._socket, self._visitor, self._desk, self._scheduler = socket, visitor, desk, scheduler
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(desk.limits.unread)

    async def run(self) -> None:
        """Talks until either side ends it; then all that was asked here is dropped."""
        receiving = asyncio.ensure_future(self._receive())
        sending = asyncio.ensure_future(self._send())
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._scheduler.cancel(self)
            for task in (receiving, sending):
                task.cancel()
            for task in (receiving, sending):
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                    await task

    async def _receive(self) -> None:
        while True:
            frame = await self._socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            text = frame.get("text")
            if text is None:
                self._outbox.put(Answer({"kind": "", "id": None, "error": "expected text, got bytes"}))
            elif len(text) > self._desk.limits.frame:
                await self._socket.close(_TOO_LARGE)
                return
            else:
                self._heard(text)

    async def _send(self) -> None:
        while (answer := await self._outbox.next()) is not None:
            await self._socket.send_text(answer.text)
            if answer.payload:
                await self._socket.send_bytes(answer.payload)
        await self._socket.close(_TOO_SLOW)

    def _heard(self, text: str) -> None:
        kind, identity = "", None
        try:
            message = Message(text)
            kind, identity = message.kind, message.identity
            if identity is None:
                raise MessageError("id: expected a whole number")
            if kind == "cancel":
                of = message.text("of")
                self._scheduler.cancel(self, of)
                return
            if kind not in QUESTIONS:
                raise MessageError(f"kind: expected one of {', '.join((*QUESTIONS, 'cancel'))}, got {kind!r}")
            self._ask(message, kind, identity)
        except Exception as error:
            self._outbox.put(Answer({"kind": kind, "id": identity, "error": said(error)}))

    def _ask(self, message: Message, kind: str, identity: int) -> None:
        question, urgency = QUESTIONS[kind]
        loading = self._desk.networks.begin(message.text("network"))

        def begin() -> Generator[Answer | None, None, None]:
            return question(self._desk, self._visitor, message)

        def answer(found: Answer) -> None:
            mine = replace(found, header={"kind": kind, "id": identity, **found.header})
            assert mine.text  # written here, and not where everybody waits for the loop
            self._post(mine)

        def failed(error: BaseException) -> None:
            self._post(Answer({"kind": kind, "id": identity, "error": said(error)}))

        self._scheduler.ask(Question(self, kind, urgency, begin, answer, failed, loading.is_set))

    def _post(self, answer: Answer) -> None:
        """Puts an answer in the outbox, from the thread that computes."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._outbox.put, answer)
