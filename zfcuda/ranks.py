"""The processes that share a pass or a training: those of torch.distributed, or of torchrun."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist

from zfcuda.complaint import CommandError, own, reason

_TORCHRUN = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class EndedElsewhereError(CommandError):
    """Another process has ended, so this one has to; `said`: whether somebody else tells the user why."""

    def __init__(self, message: str, *, said: bool) -> None:
        super().__init__(message)
        self.said = said


class Ranks:
    """This process among its like; alone where there are none. All of them have to make the same calls.

    Where torchrun started the process and nobody has initialised torch.distributed yet, that is done here: with gloo
    for what lies on CPUs, and nccl for what lies on GPUs.

    Args:
        device: where the processes compute, as in "cuda".

    Attributes:
        rank: which one this is. count: how many there are.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.rank, self.count = 0, 1
        self._group: Any = None
        if not dist.is_available():
            return
        if not dist.is_initialized():
            if not all(os.environ.get(name) for name in _TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
                return
            dist.init_process_group(_backend(device))
            atexit.register(_ended)
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        if self.count > 1 and "cpu:gloo" not in dist.get_backend_config():
            self._group = dist.new_group(backend="gloo")  # what is exchanged lies on the CPU

    @property
    def first(self) -> bool:
        """Whether this one writes what all have done."""
        return self.rank == 0

    def of_first(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.count == 1:
            return value
        held = [value if self.first else None]
        dist.broadcast_object_list(held, src=0, group=self._group)
        return held[0]

    def gathered(self, value: Any) -> list[Any]:
        """What each process has, by rank, in all of them."""
        if self.count == 1:
            return [value]
        held: list[Any] = [None] * self.count
        dist.all_gather_object(held, value, group=self._group)
        return held

    def summed(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, of numbers that a device need not be waited for."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums, group=self._group)
        summed: list[float] = sums.tolist()
        return summed

    @contextmanager
    def alike(self) -> Iterator[None]:
        """What fails in one process within the block, fails in all: the first that failed tells why.

        Nothing is exchanged within the block.

        Raises:
            EndedElsewhereError: another process failed before this one.
        """
        failed: Exception | None = None
        try:
            yield
        except Exception as error:
            failed = error
        said = None if failed is None else str(failed) if own(failed) else reason(failed)
        known = self.gathered(said)
        first = next((rank for rank, text in enumerate(known) if text is not None), None)
        if failed is not None and first == self.rank:
            raise failed
        if first is not None:
            raise EndedElsewhereError(known[first], said=True) from failed

    @contextmanager
    def unbroken(self, hint: str) -> Iterator[None]:
        """Says in one line that another process has ended, where torch.distributed notices it within the block.

        Args:
            hint: what to do.

        Raises:
            EndedElsewhereError: it has.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            raise EndedElsewhereError(
                f"process {self.rank} of {self.count}: another one has ended; {hint}", said=False
            ) from error


def own_device(device: str) -> str:
    """The device of this process: of "cuda" under torchrun the GPU of its LOCAL_RANK, which becomes the current one.

    Raises:
        ValueError: there is no such device, or the processes of a machine would share one GPU.
    """
    try:
        asked = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device: expected cpu, cuda or the like, got {device!r}") from None
    if asked.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if beside > 1 and asked.index is not None:
        raise ValueError(f"device: expected cuda, of which each of {beside} processes takes its own, got {device}")
    index = int(os.environ.get("LOCAL_RANK", "0")) if beside > 1 else asked.index or 0
    if max(index + 1, beside) > count:
        wanted = f"{beside} processes need as many GPUs" if beside > 1 else f"there is no {device}"
        raise ValueError(f"device: {wanted}, torch sees {count} on this machine")
    torch.cuda.set_device(index)
    return f"cuda:{index}"


def _backend(device: str) -> str:
    on_gpu = device.startswith("cuda") and torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if on_gpu else "gloo"


def _ended() -> None:
    with suppress(Exception):
        dist.destroy_process_group()
