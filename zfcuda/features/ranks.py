"""The processes that share a pass: those of torch.distributed, or of torchrun."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from typing import Any

import torch.distributed as dist

_TORCHRUN = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Ranks:
    """This process among its like; alone where there are none. All of them have to make the same calls.

    Where torchrun started the process and nobody has initialised torch.distributed yet, that is done here, with gloo.

    Attributes:
        rank: which one this is. count: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        self._group: Any = None
        if not dist.is_available():
            return
        if not dist.is_initialized():
            if not all(os.environ.get(name) for name in _TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
                return
            dist.init_process_group("gloo")
            atexit.register(_ended)
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        if self.count > 1 and dist.get_backend() != "gloo":
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


def _ended() -> None:
    with suppress(Exception):
        dist.destroy_process_group()
