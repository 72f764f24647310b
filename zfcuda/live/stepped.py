"""A computation that was written in one piece, run in blocks: between two of torch's operations it stops and goes on.

It runs in a thread of its own, of which one block at a time is let through, so that it never computes while somebody
else does; where it is not wanted any more, the next operation raises Cancelled, and all with statements are left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from torch.utils._python_dispatch import TorchDispatchMode

from zfcuda.network.trace import RECORDING

_T = TypeVar("_T")
BLOCK = 0.04  # seconds
_LEAST = 0.004  # of a block, where somebody waits

#: Set while something more urgent waits than what is computed: blocks then end as soon as they can.
HURRY = threading.Event()


class Cancelled(KeyboardInterrupt):
    """Raised within a computation that nobody waits for any more: everybody lets Ctrl-C through."""


def stepped(
    compute: Callable[[], _T], emitted: deque[Any] | None = None, block: float = BLOCK
) -> Generator[Any, None, _T]:
    """Runs a computation in blocks of so many seconds; the generator's return value is its result.

    Args:
        emitted: what the computation appends here, is yielded when its block ends; else None is.

    Raises:
        BaseException: what the computation raises.
    """
    run = _Run(compute, block)
    try:
        ended = False
        while not ended:
            ended = run.step()
            while emitted:
                yield emitted.popleft()
            if not ended:
                yield None
    finally:
        run.end()
    if run.error is not None:
        error, run.error = run.error, None  # its traceback holds the computation's tensors, and this frame
        try:
            raise error
        finally:
            del error
    return run.result


class _Run:
    def __init__(self, compute: Callable[[], Any], block: float) -> None:
        self._compute, self._block = compute, block
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._until = self._least = 0.0
        self._cancelled = self._done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="zfcuda live, in blocks", daemon=True)
        self._thread.start()

    def step(self) -> bool:
        """Lets one block through; whether it was the last."""
        while True:
            now = time.monotonic()
            self._until, self._least = now + self._block, now + min(self._block, _LEAST)
            self._go.release()
            self._stopped.acquire()
            # While a model is recorded, nobody else can run one: who stopped there would be waited for without end.
            if self._done or _nobody_records():
                return self._done

    def end(self) -> None:
        """Ends the computation at its next operation, where it has not ended."""
        if not self._done:
            self._cancelled = True
            self.step()
            self.error = None
        self._thread.join()

    def pause(self) -> None:
        """Called before each operation, in the computation's thread."""
        if self._cancelled:
            raise Cancelled
        now = time.monotonic()
        if now >= self._until or (now >= self._least and HURRY.is_set()):
            self._stopped.release()
            self._go.acquire()
            if self._cancelled:
                raise Cancelled

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._cancelled:
                with _Pausing(self):
                    self.result = self._compute()
        except BaseException as error:
            self.error = error
        self._done = True
        self._stopped.release()


def _nobody_records() -> bool:
    free = RECORDING.acquire(blocking=False)
    if free:
        RECORDING.release()
    return free


class _Pausing(TorchDispatchMode):
    """Pauses before each operation."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._run.pause()
        return function(*args, **(kwargs or {}))
