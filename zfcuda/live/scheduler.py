"""What is computed next: one thread, a mailbox for each visitor and kind of question, and the pointer before all else.

A question is a generator that computes a block of at most some fifty milliseconds between two yields. Between blocks
it may be cancelled, and gives way to what is more urgent. What a generator yields is an answer; None is none yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from zfcuda.live.stepped import HURRY

Work = Generator[Any, None, None]
_PATIENCE = 0.5  # seconds after which what waits gets one block, however much more urgent questions there are


@dataclass(eq=False)
class Question:
    """A question in its mailbox.

    Attributes:
        owner: whose it is. kind: of each kind an owner has one question, the newest.
        urgency: the smaller, the sooner.
        begin: makes the generator, when its turn comes.
        answer: called with what it yields, in the scheduler's thread.
        failed: called with an exception that it raises.
        ready: whether it can begin; wake() says that this may have changed.
    """

    owner: Hashable
    kind: str
    urgency: int
    begin: Callable[[], Work]
    answer: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    ready: Callable[[], bool] = lambda: True
    work: Work | None = field(default=None, init=False)
    served: float = field(default=0.0, init=False)
    cancelled: bool = field(default=False, init=False)


class Scheduler:
    """Runs questions block by block in a thread of its own, until it is closed."""

    def __init__(self) -> None:
        self._mail: dict[tuple[Hashable, str], Question] = {}
        self._served: dict[Hashable, float] = {}  # owner -> when one of his blocks ended
        self._changed = threading.Condition()
        self._dropped: list[Question] = []  # begun and cancelled: closed by the thread that runs them
        self._closed = False
        self._hurried: int | None = None  # a question more urgent than this ends the block that runs
        self._thread = threading.Thread(target=self._run, name="zfcuda live", daemon=True)
        self._thread.start()

    def ask(self, question: Question) -> None:
        """Puts a question in its mailbox; the one that was there is dropped, even where it runs."""
        with self._changed:
            if self._closed:
                return
            self._take(question.owner, question.kind)
            question.served = time.monotonic()
            self._mail[question.owner, question.kind] = question
            if self._hurried is not None and question.urgency < self._hurried:
                HURRY.set()
            self._changed.notify()

    def cancel(self, owner: Hashable, kind: str | None = None) -> None:
        """Drops an owner's question of a kind; None: all of his."""
        with self._changed:
            for who, what in list(self._mail):
                if who == owner and kind in (None, what):
                    self._take(who, what)
            if kind is None:
                self._served.pop(owner, None)
            self._changed.notify()

    def wake(self) -> None:
        """Says that questions may have become ready."""
        with self._changed:
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many questions there are, the running one among them."""
        with self._changed:
            return len(self._mail)

    def close(self, patience: float = 1.0) -> None:
        """Drops all questions and ends the thread; a block that runs longer than the patience is left alone."""
        with self._changed:
            self._closed = True
            for who, what in list(self._mail):
                self._take(who, what)
            self._changed.notify()
        self._thread.join(patience)

    def _take(self, owner: Hashable, kind: str) -> None:
        question = self._mail.pop((owner, kind), None)
        if question is not None:
            question.cancelled = True
            if question.work is not None:
                self._dropped.append(question)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._dropped and self._next() is None:
                    self._changed.wait()
                dropped, self._dropped = self._dropped, []
                question = None if self._closed else self._next()
                HURRY.clear()
                starved = question is not None and time.monotonic() - question.served > _PATIENCE
                self._hurried = None if question is None or starved else question.urgency
            while dropped:
                _end(dropped.pop())
            if question is not None:
                self._block(question)
            elif self._closed:
                return
            del question, dropped  # what they hold of memory is not kept while nobody asks

    def _next(self) -> Question | None:
        """The most urgent question; among equals the one whose owner was served longest ago."""
        ready = [question for question in self._mail.values() if question.ready()]
        if not ready:
            return None
        now = time.monotonic()
        starved = [question for question in ready if now - question.served > _PATIENCE]
        if starved and len(starved) < len(ready):
            return min(starved, key=lambda each: each.served)
        return min(ready, key=lambda each: (each.urgency, self._served.get(each.owner, 0.0)))

    def _block(self, question: Question) -> None:
        ended = True
        try:
            if question.work is None:
                question.work = question.begin()
            answer = next(question.work)
            ended = False
        except StopIteration:
            answer = None
        except BaseException as error:  # a user's network may raise anything, SystemExit too; the server stays
            answer = None
            if not question.cancelled:
                question.failed(error)
        with self._changed:
            question.served = time.monotonic()
            if not question.cancelled:
                self._served[question.owner] = question.served
                if ended:
                    self._mail.pop((question.owner, question.kind), None)
        if question.cancelled:
            _end(question)
        elif answer is not None:
            question.answer(answer)


def _end(question: Question) -> None:
    """Closes a cancelled question's generator; whatever it raises on its way out, nobody waits for it."""
    if question.work is not None:
        with suppress(BaseException):
            question.work.close()
