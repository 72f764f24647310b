"""How many windows make a chunk: what a window takes of the memory on its way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from zfcuda.network import Node
from zfcuda.occlusion.incremental.change_analysis import Changes, Local, Whole
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.regions import Intervals
from zfcuda.occlusion.incremental.steps import Step

# On a CPU the maps of a chunk should stay in the cache, and each below the size from which malloc takes fresh pages.
_WINDOWS = {"cpu": 64, "cuda": 4096}
_LARGEST = {"cpu": 16 << 20}


class Footprint:
    """Bytes per window, on average over the grid."""

    def __init__(self, changes: Changes, base: Base, device: torch.device) -> None:
        self.changes, self.base, self.device = changes, base, device

    def value(self, index: int) -> int:
        """What a node keeps for a window."""
        change, value = self.changes.of[index], self.base[index]
        if not isinstance(value, Tensor) or change is Whole.CONSTANT:
            return 0
        if isinstance(change, Local):
            return int(_mean_area(change.rows, change.columns) * value.shape[1]) * self.base.dtype.itemsize
        return self.whole(index)

    def whole(self, index: int) -> int:
        """The same in full."""
        value = self.base[index]
        return value.numel() * self.base.dtype.itemsize if isinstance(value, Tensor) else 0

    def kept(self, tail: Sequence[Step]) -> int:
        """What the tail needs: its inputs, completed, and all that it computes."""
        read = {i for step in tail for i in step.reads} | {step.index for step in tail}
        return sum(self.value(i) + self.whole(i) for i in read)

    def lasting(self, nodes: Sequence[Node]) -> int:
        """What stays from the first chunk to the last: the image's maps, and the filters in the kernel's order."""
        maps = sum(
            self.whole(i) for i, change in self.changes.of.items() if isinstance(change, Local) and i in self.base
        )
        filters = sum(2 * self.whole(node.refs[1]) for node in nodes if node.kind == "conv")
        return maps + filters

    def chunk(self, steps: Sequence[Step], budget: int, first: int, kept: Collection[int]) -> int:
        """How many windows fit, every value twice for what its computation reads beside it.

        first: the node whose value is there before the steps. kept: the nodes whose values stay to the end.
        """
        last = {i: n for n, step in enumerate(steps) for i in step.reads}
        live: dict[int, int] = {first: self.value(first)}
        most = largest = 1
        for n, step in enumerate(steps):
            live[step.index] = self.value(step.index)
            work = 3 * max(live[step.index], *(live.get(i, 0) for i in step.reads), 0)
            if self.changes.of[step.index] is Whole.DENSE:  # completes what it reads
                work += sum(self.whole(i) for i in step.reads)
            if isinstance(step, Convolution):
                positions = self.value(step.index) // self.base[step.index].shape[1]
                work += positions * step.reads_per_position(self.base, self.changes)
            most, largest = max(most, sum(live.values()) + work), max(largest, live[step.index])
            live = {i: size for i, size in live.items() if last.get(i, n) > n or i in kept}
        device = self.device.type
        fitting = min(budget // most, _LARGEST.get(device, budget) // largest, _WINDOWS.get(device, 256))
        return max(1, int(fitting))


def _mean_area(rows: Intervals, columns: Intervals) -> float:
    return float((rows[:, 1] - rows[:, 0]).mean() * (columns[:, 1] - columns[:, 0]).mean())
