"""How much memory there is for images that run together, and what happens when it runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def budget_of(asked: int | None, device: torch.device) -> int:
    """The bytes for images that run together; without a wish a quarter of what is free, at most 2 GiB."""
    return asked if asked is not None else min(limit_of(asked, device), 2 << 30)


def limit_of(asked: int | None, device: torch.device) -> int:
    """The bytes for all that a call holds at once; without a wish a quarter of what is free."""
    return asked if asked is not None else _free(device) // 4


def spoken_bytes(count: int) -> str:
    """Writes a number of bytes as messages do: "1,310,720 bytes (1.2 MiB)", rounded down."""
    unit, name = next((u, n) for u, n in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "")) if count >= u)
    return f"{count:,} bytes" + (f" ({count / unit:.1f} {name})" if name else "")


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

    def __init__(self, size: int, first: int | None = None) -> None:
        """Starts with batches of this size. first: of the first batch, where it should be done sooner."""
        self.size = size
        self.first = size if first is None else first

    def run(self, count: int, work: Callable[[slice], T]) -> list[T]:
        """Calls `work` with slices that follow one another from 0 to `count`. Returns its results in order.

        Raises:
            torch.OutOfMemoryError, MemoryError, RuntimeError: one item alone is too much.
        """
        results: list[T] = []
        done = 0
        while done < count:
            batch = slice(done, min(done + min(self.size, self.first), count))
            try:
                results.append(work(batch))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if self.size == 1 or not out_of_memory(error):
                    raise
                self.size //= 2
                continue
            done = batch.stop
            self.first = self.size
        return results
