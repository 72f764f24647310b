"""A computation that was written in one piece, run in blocks: between two of torch's operations it stops and goes on.

It runs in a thread of its own, of which one block at a time is let through, so that it never computes while somebody
else does; where it is not wanted any more, the next operation raises Cancelled, and all with statements are left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from torch.utils._python_dispatch import TorchDispatchMode

_T = TypeVar("_T")
BLOCK = 0.04  # seconds


class Cancelled(KeyboardInterrupt):
    """Raised within a computation that nobody waits for any more: everybody lets Ctrl-C through."""


def stepped(compute: Callable[[], _T], block: float = BLOCK) -> Generator[None, None, _T]:
    """Runs a computation in blocks of so many seconds; the generator's return value is its result.

    Raises:
        BaseException: what the computation raises.
    """
    run = _Run(compute, block)
    try:
        while not run.step():
            yield None
    finally:
        run.end()
    if run.error is not None:
        raise run.error
    return run.result


class _Run:
    def __init__(self, compute: Callable[[], Any], block: float) -> None:
        self._compute, self._block = compute, block
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._until = 0.0
        self._cancelled = self._done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="zfcuda live, in blocks", daemon=True)
        self._thread.start()

    def step(self) -> bool:
        """Lets one block through; whether it was the last."""
        self._until = time.monotonic() + self._block
        self._go.release()
        self._stopped.acquire()
        return self._done

    def end(self) -> None:
        """Ends the computation at its next operation, where it has not ended."""
        if not self._done:
            self._cancelled = True
            self.step()
        self._thread.join()

    def pause(self) -> None:
        """Called before each operation, in the computation's thread."""
        if self._cancelled:
            raise Cancelled
        if time.monotonic() >= self._until:
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


class _Pausing(TorchDispatchMode):
    """Pauses before each operation."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._run.pause()
        return function(*args, **(kwargs or {}))
