"""A connection: nothing piles up, nobody is mixed up, and who leaves is not computed for."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from typing import Any

import pytest
import torch
from torch import nn

from tests.live.served import ANNA, BERT, HEADERS, TOKEN, Client, client, png
from tests.report import small
from zfcuda.live.limits import Limits
from zfcuda.live.messages import Answer
from zfcuda.live.session import Outbox

PICTURE = small.drawing(3)


class Gate:
    """Holds forwards up, outside of the model: what a module holds is put back as it was after some of the runs."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def through(self) -> None:
        self.entered.set()
        assert self.gate.wait(10)


class Slow(nn.Module):
    """Goes through a gate at each forward."""

    def __init__(self, through: Any) -> None:
        super().__init__()
        self.inner, self.through = small.network(), through

    def __deepcopy__(self, memo: dict[int, Any]) -> Slow:
        return self

    def forward(self, x):  # type: ignore[no-untyped-def]
        self.through()
        return self.inner(x)


def wait_until(true: Any) -> None:
    gate = threading.Event()
    for _ in range(500):
        if true():
            return
        gate.wait(0.01)
    raise AssertionError("it did not become true")


@pytest.fixture
def held():  # type: ignore[no-untyped-def]
    """A server whose network is held up by its gate."""
    gate = Gate()
    with client(Slow(lambda: gate.through())) as c:
        yield c, gate
        gate.gate.set()


def test_stale_questions_of_the_pointer_are_dropped(held: tuple[Client, Gate]) -> None:
    c, model = held
    about = {"picture": c.upload(PICTURE), "network": "small"}
    with c.work() as talk:
        talk.ask("look", **about)
        model.gate.clear()
        model.entered.clear()
        first = talk.say("occlude", boxes=[[0, 0, 4, 4]], **about)
        assert model.entered.wait(10)
        for i in range(200):
            last = talk.say("occlude", boxes=[[i % 40, 0, 4, 4]], **about)
        other = talk.say("units", layer="none", count=1, **about)  # of another kind: comes after all these
        wait_until(lambda: c.server.scheduler.waiting == 2)
        model.gate.set()
        answers = [talk.hear(), talk.hear()]
    assert {each["id"] for each in answers} == {last, other} and first != last
    [answer] = [each for each in answers if each["id"] == last]
    assert answer["answers"][0]["box"] == [199 % 40, 0, 4, 4]


def test_two_visitors_do_not_mix(held: tuple[Client, Gate]) -> None:
    c, model = held
    pictures = {who: c.upload(small.drawing(i), who) for i, who in enumerate((ANNA, BERT))}
    with c.work(ANNA) as anna, c.work(BERT) as bert:
        model.gate.clear()
        ids = [talk.say("look", picture=pictures[who], network="small") for talk, who in ((anna, ANNA), (bert, BERT))]
        model.gate.set()
        looks = [anna.hear(), bert.hear()]
    assert [each["picture"] for each in looks] == [pictures[ANNA], pictures[BERT]]
    assert [each["id"] for each in looks] == ids
    assert looks[0]["classes"] != looks[1]["classes"]


def test_cancel(held: tuple[Client, Gate]) -> None:
    c, model = held
    about = {"picture": c.upload(PICTURE), "network": "small"}
    with c.work() as talk:
        talk.ask("look", **about)
        model.gate.clear()
        model.entered.clear()
        talk.say("methods", names=["smoothgrad", "integrated"], **about)
        assert model.entered.wait(10)
        talk.say("cancel", of="methods")
        wait_until(lambda: not c.server.scheduler.waiting)
        model.gate.set()
        assert talk.ask("look", **about)["kind"] == "look"  # and nothing of the methods before it


def test_who_leaves_is_not_computed_for(held: tuple[Client, Gate]) -> None:
    c, model = held
    about = {"picture": c.upload(PICTURE), "network": "small"}
    with c.work() as talk:
        talk.ask("look", **about)
        model.gate.clear()
        model.entered.clear()
        talk.say("methods", names=["smoothgrad"], **about)
        assert model.entered.wait(10)
    wait_until(lambda: not c.server.scheduler.waiting)
    visitor = c.server.visitors.known(ANNA)
    assert visitor is not None
    wait_until(lambda: visitor.sockets == 0)
    model.gate.set()
    wait_until(lambda: not any("in blocks" in thread.name for thread in threading.enumerate()))


NESTED = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "7", "null", '"look"', "{", '{"kind": "look", "id": 1} more', NESTED, "[" * 60_000),
        *('{"id": NaN}', '{"id": Infinity}', '{"kind": "look", "id": 1e400}', '{"a":' * 3000 + "1" + "}" * 3000),
        *(
            '{"kind": "look"}',
            '{"kind": "look", "id": true}',
            '{"kind": "look", "id": "1"}',
            '{"kind": "look", "id": [1]}',
        ),
        *('{"kind": 7, "id": 1}', '{"kind": "none", "id": 1}', '{"kind": "cancel", "id": 1}', '{"id": 1}'),
        *(
            '{"kind": "look", "id": 1}',
            f'{{"kind": "occlude", "id": 1, "network": "small", "boxes": {"[" * 900}{"]" * 900}}}',
        ),
        '{"kind": "look", "id": ' + "9" * 5000 + "}",
    ],
)
def test_malformed_messages_get_an_error_and_the_server_lives(text: str) -> None:
    with client() as c, c.work() as talk:
        about = {"picture": c.upload(PICTURE), "network": "small"}
        talk.socket.send_text(text)
        answer = talk.hear()
        assert answer["error"] and len(answer["error"]) < 300
        assert "classes" in talk.ask("look", **about)


def test_binary_and_huge_frames() -> None:
    with client(limits=Limits(frame=1000)) as c:
        with c.work() as talk:
            talk.socket.send_bytes(b"\x00\x01")
            assert talk.hear()["error"] == "expected text, got bytes"
            talk.socket.send_text("x" * 1001)
            assert talk.socket.receive()["type"] == "websocket.close"
        with c.work() as talk:  # the next one is answered
            assert "error" in talk.ask("look")


@pytest.mark.parametrize("path", ["work", "work?visitor=", "work?visitor=short", "work?visitor=../../etc/passwd"])
def test_a_connection_has_to_say_who_it_is(path: str) -> None:
    from starlette.websockets import WebSocketDisconnect

    with client() as c, pytest.raises(WebSocketDisconnect):  # noqa: SIM117
        with c.http.websocket_connect(f"/{TOKEN}/{path}", headers=HEADERS):
            pass


def test_an_outbox_drops_stale_answers_then_the_client() -> None:
    async def run() -> None:
        box = Outbox(most=1000)
        for i in range(1000):
            box.put(Answer({"kind": "occlude", "id": i, "text": "x" * 100}))
        first = await box.next()
        assert first is not None and first.header["id"] == 999
        for i in range(20):
            box.put(Answer({"kind": "map", "id": i}, bytes(10)))
        second = await box.next()
        assert second is not None and second.header["id"] == 0
        for i in range(20):
            box.put(Answer({"kind": "map", "id": i}, bytes(100)))
        assert await box.next() is None and box.overflowed

    asyncio.run(run())


def test_numbers_that_are_none_are_null() -> None:
    answer = Answer({"a": float("nan"), "b": [float("inf"), {"c": -float("inf")}], "d": 1.5})
    assert json.loads(answer.text) == {"a": None, "b": [None, {"c": None}], "d": 1.5}


def test_five_hundred_requests_leave_nothing_behind() -> None:
    with client(limits=Limits(cache=200_000, prepared=2_000_000, pictures=3)) as c:

        def everything(i: int) -> None:
            picture = small.drawing(i)
            identity = c.upload(picture)
            with c.work() as talk:
                about = {"picture": identity, "network": "small"}
                talk.ask("look", **about)
                for j in range(20):
                    talk.ask("occlude", boxes=[[i % 8, j, 9, 9]], fill=("grey", "noise")[j % 2], **about)
                talk.asks("map", window=24, stride=24, **about)
                talk.ask("units", layer="3", count=2, **about)
                talk.ask("unit", layer="3", unit=0, **about)
                talk.asks("methods", names=["gradient"], **about)
            assert c.http.delete(f"/{TOKEN}/pictures/{identity}?visitor={ANNA}").status_code == 204

        def counted() -> int:
            """Tensors that are held."""
            gc.collect()
            return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

        for i in range(6):
            everything(i)
        before, threads = counted(), threading.active_count()
        for i in range(6, 25):  # 27 requests each
            everything(i)
        desk = c.server.desk
        assert counted() <= before + 60 and threading.active_count() <= threads
        assert desk._answers.bytes <= 200_000 and desk._prepared.bytes <= 2_000_000
        c.server.desk.forget(c.server.visitors.tidy())
        assert not desk._answers.bytes and not desk._prepared.bytes


def test_a_page_of_another_origin_gets_no_connection() -> None:
    from starlette.websockets import WebSocketDisconnect

    with client() as c, pytest.raises(WebSocketDisconnect):  # noqa: SIM117
        with c.http.websocket_connect(
            f"/{TOKEN}/work?visitor={ANNA}", headers=HEADERS | {"origin": "http://evil.example"}
        ):
            pass
    with client() as c:
        assert c.post(("a.png", png(PICTURE)), Origin="http://evil.example").status_code == 403
