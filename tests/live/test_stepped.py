"""A computation in blocks gives what it gives in one piece, and ends where nobody waits for it."""

from __future__ import annotations

import threading
from collections import deque

import pytest
import torch

from tests.report.small import SIDE, network
from zfcuda.live.stepped import HURRY, Cancelled, stepped
from zfcuda.methods import METHODS
from zfcuda.network.trace import RECORDING


def result(run):  # type: ignore[no-untyped-def]
    """(what a generator returns, what it yields)"""
    yielded = []
    while True:
        try:
            yielded.append(next(run))
        except StopIteration as end:
            return end.value, yielded


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_in_blocks_gives_the_very_same(name: str) -> None:
    model = network()
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    whole = METHODS[name].compute(model, image, [1])
    there, yielded = result(stepped(lambda: METHODS[name].compute(model, image, [1]), block=0.0))
    assert torch.equal(there, whole)
    assert len(yielded) > 1 or name == "centre"


def test_one_computes_at_a_time() -> None:
    busy = threading.Lock()

    def work() -> int:
        for _ in range(20):
            with busy:  # held within a block alone: two at once would find it taken
                pass
            torch.zeros(1)
        return 1

    runs = [stepped(work, block=0.0) for _ in range(3)]
    ended = 0
    while runs:
        run = runs.pop(0)
        assert busy.acquire(blocking=False)
        busy.release()
        try:
            next(run)
            runs.append(run)
        except StopIteration as end:
            ended += end.value
    assert ended == 3


def test_closing_ends_it_at_the_next_operation_and_leaves_with_statements() -> None:
    left: list[type[BaseException]] = []
    threads = threading.active_count()

    def work() -> None:
        try:
            while True:
                torch.zeros(1)
        except BaseException as error:
            left.append(type(error))
            raise

    run = stepped(work, block=0.0)
    next(run)
    next(run)
    run.close()
    assert left == [Cancelled] and threading.active_count() == threads


def test_closing_before_it_began() -> None:
    run = stepped(lambda: pytest.fail("it was not to begin"))
    run.close()


def test_it_stops_soon_where_something_more_urgent_waits() -> None:
    counts: list[int] = []

    def work() -> None:
        for _ in range(10**9):
            torch.zeros(1)
            counts[-1] += 1

    for hurry in (False, True):
        counts.append(0)
        run = stepped(work, block=0.3)
        if hurry:
            HURRY.set()
        try:
            next(run)
        finally:
            HURRY.clear()
            run.close()
    assert 0 < counts[1] < counts[0]


def test_an_error_comes_out() -> None:
    def work() -> None:
        torch.zeros(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        result(stepped(work))


def test_what_is_emitted_is_yielded_in_order() -> None:
    emitted: deque[int] = deque()

    def work() -> str:
        for i in range(5):
            emitted.append(i)
            torch.zeros(1)
        return "end"

    end, yielded = result(stepped(work, emitted, block=0.0))
    assert end == "end" and [each for each in yielded if each is not None] == list(range(5))


def test_it_does_not_stop_while_it_records_a_model() -> None:
    free: list[bool] = []

    def work() -> None:
        with RECORDING:
            for _ in range(3):
                torch.zeros(1)
        torch.zeros(1)

    def is_free() -> bool:
        got = RECORDING.acquire(blocking=False)
        if got:
            RECORDING.release()
        return got

    for _ in (run := stepped(work, block=0.0)):
        free.append(is_free())
    assert run.gi_frame is None and free and all(free)
