"""The newest question of a kind alone, the pointer first, fair to everybody, and nothing computed for nobody."""

from __future__ import annotations

import threading
from collections.abc import Generator, Hashable, Iterator
from typing import Any

import pytest

from zfcuda.live import scheduler as module
from zfcuda.live.scheduler import Question, Scheduler
from zfcuda.live.stepped import HURRY


class Log(list[Any]):
    """What was answered, in order; wait() until there is so much."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def add(self, entry: Any) -> None:
        with self.changed:
            self.append(entry)
            self.changed.notify_all()

    def wait(self, count: int) -> Log:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self) >= count, 10), self
        return self


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    one = Scheduler()
    yield one
    one.close()
    assert not one._thread.is_alive()


def question(
    log: Log, name: str, urgency: int = 0, blocks: int = 1, owner: Hashable = "anna", kind: str = "", **more: Any
) -> Question:
    def begin() -> Generator[Any, None, None]:
        try:
            for i in range(blocks):
                yield f"{name}{i}"
        except GeneratorExit:
            log.add(f"{name} dropped")
            raise

    return Question(owner, kind or name, urgency, begin, log.add, lambda error: log.add(error), **more)


def gate(scheduler: Scheduler, log: Log) -> threading.Event:
    """Holds the scheduler up until the event is set, so that questions gather."""
    begun, opened = threading.Event(), threading.Event()

    def begin() -> Generator[Any, None, None]:
        begun.set()
        assert opened.wait(10)
        yield from ()

    scheduler.ask(Question("gate", "gate", -1, begin, log.add, log.add))
    assert begun.wait(10)
    return opened


def test_of_a_kind_the_newest_alone_is_answered(scheduler: Scheduler) -> None:
    log = Log()
    opened = gate(scheduler, log)
    for i in range(100):
        scheduler.ask(question(log, f"q{i} ", kind="occlude"))
    assert scheduler.waiting == 2  # the gate and the newest: no queue
    opened.set()
    assert log.wait(1) == ["q99 0"]


def test_the_pointer_goes_before_a_map_that_runs(scheduler: Scheduler) -> None:
    log = Log()

    def begin() -> Generator[Any, None, None]:
        yield "map0"
        scheduler.ask(question(log, "pointer"))
        yield "map1"
        yield "map2"

    scheduler.ask(Question("anna", "map", 3, begin, log.add, log.add))
    assert log.wait(4) == ["map0", "map1", "pointer0", "map2"]


def test_the_pointer_ends_the_block_that_runs(scheduler: Scheduler) -> None:
    log = Log()

    def begin() -> Generator[Any, None, None]:
        scheduler.ask(question(log, "less urgent", urgency=4))
        log.add(HURRY.is_set())
        scheduler.ask(question(log, "pointer"))
        log.add(HURRY.is_set())
        yield "map0"

    scheduler.ask(Question("anna", "map", 3, begin, log.add, log.add))
    assert log.wait(5)[:4] == [False, True, "map0", "pointer0"] and not HURRY.is_set()


def test_a_newer_map_drops_the_one_that_runs(scheduler: Scheduler) -> None:
    log = Log()

    def begin() -> Generator[Any, None, None]:
        try:
            yield "old"
            scheduler.ask(question(log, "new", kind="map"))
            yield "too late"
        finally:
            log.add("dropped")

    scheduler.ask(Question("anna", "map", 3, begin, log.add, log.add))
    assert sorted(log.wait(3)) == ["dropped", "new0", "old"]


def test_visitors_take_turns(scheduler: Scheduler) -> None:
    log = Log()
    opened = gate(scheduler, log)
    scheduler.ask(question(log, "a", blocks=3, owner="anna"))
    scheduler.ask(question(log, "b", blocks=3, owner="bert"))
    opened.set()
    assert log.wait(6) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_what_waits_long_gets_a_block_whatever_the_pointer_does(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def pointer(left: int) -> Question:
        def begin() -> Generator[Any, None, None]:
            now[0] += 0.25
            if left:
                scheduler.ask(pointer(left - 1))
            yield from ()

        return Question("bert", f"pointer{left % 2}", 0, begin, log.add, log.add)

    opened = gate(scheduler, log)
    waiting = question(log, "map", 3, blocks=3)
    waiting.answer = lambda answer: log.add((answer, now[0]))
    scheduler.ask(waiting)
    scheduler.ask(pointer(20))  # for 5.25 seconds
    opened.set()
    assert log.wait(3) == [("map0", 0.75), ("map1", 1.5), ("map2", 2.25)]


def test_cancel_drops_one_kind_or_all(scheduler: Scheduler) -> None:
    log = Log()
    opened = gate(scheduler, log)
    for kind in ("map", "methods", "look"):
        scheduler.ask(question(log, kind))
    scheduler.ask(question(log, "bert's", owner="bert"))
    scheduler.cancel("anna", "map")
    assert scheduler.waiting == 4
    scheduler.cancel("anna")
    opened.set()
    assert log.wait(1) == ["bert's0"] and scheduler.waiting == 0


def test_an_error_is_told_and_the_next_is_answered(scheduler: Scheduler) -> None:
    log = Log()

    def begin() -> Generator[Any, None, None]:
        yield "one"
        raise SystemExit("a network of the user's may do this")

    scheduler.ask(Question("anna", "map", 3, begin, log.add, lambda error: log.add(type(error))))
    log.wait(2)
    scheduler.ask(question(log, "next"))
    assert log.wait(3) == ["one", SystemExit, "next0"]


def test_a_question_waits_until_it_is_ready(scheduler: Scheduler) -> None:
    log = Log()
    loaded = threading.Event()
    scheduler.ask(question(log, "needs a network", ready=loaded.is_set))
    scheduler.ask(question(log, "does not", urgency=5))
    assert log.wait(1) == ["does not0"]
    loaded.set()
    scheduler.wake()
    assert log.wait(2)[1] == "needs a network0"


def test_close_drops_what_runs() -> None:
    scheduler, log = Scheduler(), Log()

    def begin() -> Generator[Any, None, None]:
        try:
            while True:
                log.add("on")
                yield None
        finally:
            log.add("dropped")

    scheduler.ask(Question("anna", "map", 3, begin, log.add, log.add))
    log.wait(3)
    scheduler.close(10)
    assert log[-1] == "dropped" and not scheduler._thread.is_alive()
    scheduler.ask(question(log, "late"))
    assert scheduler.waiting == 0
