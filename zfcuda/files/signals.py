"""Signals that end a program, held back while it must not end, or turned into an exception so that it tidies up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, handled as Ctrl-C is; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def held() -> Iterator[None]:
    """Holds back what ends a program until the block is through, in the main thread; elsewhere nothing arrives."""
    with noted():
        yield


@contextmanager
def raised() -> Iterator[list[KeyboardInterrupt]]:
    """Within the block SIGINT raises KeyboardInterrupt, SIGTERM and SIGHUP raise Terminated; ignored ones stay so.

    Yields:
        what was raised so far: code that is not Python may turn it into an exception of its own.
    """
    came: list[KeyboardInterrupt] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated(number))
        raise came[-1]

    before = _replaced(interrupt)
    try:
        yield came
    finally:
        _restored(before)


@contextmanager
def noted() -> Iterator[list[int]]:
    """Within the block what ends a program is only noted, for a moment that all of several processes agree upon.

    Yields:
        the numbers of the signals that came. What is still there when the block is through is raised then.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = _replaced(note)
    try:
        yield came
    finally:
        _restored(before)
        for number in came:
            signal.raise_signal(number)


def _replaced(handler: object) -> dict[int, object]:
    """Installs a handler for each signal that is not ignored; returns the handlers that were there."""
    before: dict[int, object] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not installed from Python
                before[number] = signal.signal(number, handler)  # type: ignore[arg-type]
    return before


def _restored(before: dict[int, object]) -> None:
    for number, handler in reversed(before.items()):  # SIGINT last: its handler may raise
        signal.signal(number, handler)  # type: ignore[arg-type]
