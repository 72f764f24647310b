"""How much memory there is for the windows, and what happens when it runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def budget_of(asked: int | None, device: torch.device) -> int:
    """The bytes that were asked for; without a wish a quarter of what is free, at most 2 GiB."""
    return asked if asked is not None else min(_free(device) // 4, 2 << 30)


def _free(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30  # unknown; a quarter of this is small enough for any machine that runs torch


def out_of_memory(error: BaseException) -> bool:
    """Whether this error says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


class ShrinkingBatches:
    """Work that is done batch by batch; where memory runs out it goes on with batches of half the size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, count: int, work: Callable[[slice], T]) -> list[T]:
        """Calls `work` with slices that follow one another from 0 to `count`. Returns its results in order.

        Raises:
            torch.OutOfMemoryError, MemoryError, RuntimeError: one item alone is too much.
        """
        results: list[T] = []
        done = 0
        while done < count:
            batch = slice(done, min(done + self.size, count))
            try:
                results.append(work(batch))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if self.size == 1 or not out_of_memory(error):
                    raise
                self.size //= 2
                continue
            done = batch.stop
        return results
