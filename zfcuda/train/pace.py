"""What the processes of a training agree upon at each step, so that all of them save or end after the same one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from zfcuda.files.signals import Terminated, noted
from zfcuda.ranks import Ranks


class Agreed(NamedTuple):
    """What holds for a step in all processes.

    Attributes:
        pictures: that all of them have together.
        save: whether the first finds it time for a checkpoint.
        stop: what ends them after the step; None: nothing.
    """

    pictures: int
    save: bool
    stop: KeyboardInterrupt | None


class Pace:
    """Keeps processes in step.

    One that is alone raises KeyboardInterrupt where a signal reaches it. Several only note it: each hears of it at
    another moment, and to save what all of them know they have to be at the same step. What they tell one another lies
    on the CPU, so that no GPU is waited for, and a process that has ended is found out at once.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._came: list[int] = []

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Signals are noted within the block, where there are several processes."""
        if self.ranks.count == 1:
            yield
            return
        with noted() as self._came:
            try:
                yield
            except BaseException:  # what came says no more than this does
                self._came.clear()
                raise

    def agree(self, pictures: int = 0, save: bool = False) -> Agreed:
        """What holds for all: each calls it once a step, with the pictures that it has."""
        if self.ranks.count == 1:
            return Agreed(pictures, save, None)
        interrupts = sum(number == signal.SIGINT for number in self._came)
        others = len(self._came) - interrupts
        count, due, interrupted, ended = self.ranks.summed([pictures, save and self.ranks.first, interrupts, others])
        stop: KeyboardInterrupt | None = None
        if ended:
            stop = Terminated(signal.SIGTERM)
        elif interrupted:
            stop = KeyboardInterrupt()
        return Agreed(int(count), due > 0, stop)
