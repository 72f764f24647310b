"""How many windows make a chunk: what a window takes of the memory on its way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from zfcuda.occlusion.incremental.change_analysis import Changes, Local, Whole
from zfcuda.occlusion.incremental.choices import Choice
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.concatenation import Concatenation
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.regions import Intervals
from zfcuda.occlusion.incremental.steps import NormWithin, Pooling, Step

# On a CPU the maps of a chunk should stay in the cache, and each below the size from which malloc takes fresh pages.
_WINDOWS = {"cpu": 64, "cuda": 4096}
_LARGEST = {"cpu": 16 << 20}
# Large maps: so many windows all the same, or a chunk's steps take as long as the arithmetic, up to this size of a map.
_FEW, _LARGEST_OF_FEW = 5, 28 << 20
# From here on one more chunk is nothing beside a chunk's own work.
_HEAVY = 16 << 20
# Filters are packed side by side, in panels of at most so many outputs; for Winograd's algorithm, from so many channels
# on, each takes so many numbers at most.
_PANEL, _WINOGRAD, _TILE, _SMALL_TILE = 32, 16, 36, 16


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

    def lasting(
        self, steps: Sequence[Step], held: Collection[int], unread: Collection[int], inside: Collection[int]
    ) -> int:
        """What stays from the first chunk to the last: the image's maps, in another dtype too where the windows run in
        it, and the filters in the kernel's order.

        held: the nodes whose values are held. unread: those whose maps have one stand-in. inside: those that only a
        fused step reads, where it is fused.
        """
        made = [i for i in held if self.changes.of[i] is not Whole.CONSTANT and isinstance(self.base[i], Tensor)]
        own = sum(self.base[i].numel() * self.base[i].element_size() for i in made)
        cast = sum(self.whole(i) for i in made if self.base[i].dtype != self.base.dtype)
        stand_in = max((self.whole(i) for i in unread), default=0)
        convolutions = [step for step in steps if isinstance(step, Convolution)]
        filters = sum(map(self._filters, convolutions))
        # With the batch norm folded in, before it is packed.
        once = max((self.whole(step.conv.arguments["weight"].index) for step in convolutions), default=0)
        squares = sum(self.whole(s.node.refs[0]) for s in steps if isinstance(s, NormWithin))
        # Of a concatenation by parts, which is pooled; and what had been fused, where it runs by itself after all.
        joined = {step.index for step in steps if isinstance(step, Concatenation)}
        pooled = sum(self.whole(s.index) for s in steps if isinstance(s, Pooling) and joined & set(s.reads))
        apart = 0 if self._own_kernel() else sum(map(self.whole, inside))
        return own + cast + stand_in + filters + once + squares + pooled + apart

    def _own_kernel(self) -> bool:
        return self.base.dtype == torch.float32 and self.device.type == "cpu"

    def _filters(self, step: Convolution) -> int:
        """A convolution's filters as its way takes them; in the model's own dtype too, in which some windows run."""
        weight = self.base[step.conv.arguments["weight"].index]
        packed = weight.numel()
        if step.groups(self.base) == 1:
            taps = weight[0, 0].numel()
            if step.by_winograd(self.changes) and min(weight.shape[:2]) >= _WINOGRAD:
                taps = _SMALL_TILE if self.base.small_tiles else _TILE
            packed = -(-len(weight) // _PANEL) * _PANEL * weight.shape[1] * taps
        elif weight.shape[1] > 1 or len(weight) > step.groups(self.base):
            packed *= 2  # groups side by side in a vector
        sizes = {torch.float32: packed}
        return sum(sizes.get(dtype, weight.numel()) * dtype.itemsize for dtype in {weight.dtype, self.base.dtype})

    def least(self, head: Sequence[Step], tail: Sequence[Step], first: int, kept: Collection[int]) -> int:
        """What one window takes on its way."""
        most = self._most(head, first, kept)[0]
        return 2 * max(most, self.kept(tail)) if tail else most

    def chunk(self, steps: Sequence[Step], budget: int, first: int, kept: Collection[int]) -> int:
        """How many windows fit.

        first: the node whose value is there before the steps. kept: the nodes whose values stay to the end.
        """
        most, largest = self._most(steps, first, kept)
        device = self.device.type
        cached = max(_LARGEST.get(device, budget) // largest, min(_FEW, _LARGEST_OF_FEW // largest))
        fitting = min(budget // most, cached, _WINDOWS.get(device, 256))
        return max(1, int(fitting))

    def first_chunk(self, steps: Sequence[Step], size: int, first: int, kept: Collection[int]) -> int:
        """How many windows run before the others, in chunks of this size: a part of them where those take seconds, so
        that a bar moves sooner. first, kept: as in chunk.
        """
        heavy = self.device.type == "cpu" and size * self._most(steps, first, kept)[0] > _HEAVY
        return max(1, size // 8) if heavy else size

    def _most(self, steps: Sequence[Step], first: int, kept: Collection[int]) -> tuple[int, int]:
        """What a window takes at most, every value with what its computation reads beside it; and its largest value."""
        last = {i: n for n, step in enumerate(steps) for i in step.reads}
        parts = self._by_parts(steps) - set(kept)
        for step in reversed(steps):  # a concatenation keeps what it is made of, a piece the map that it is of
            if isinstance(step, Concatenation | Choice):
                last |= {i: max(last[i], last.get(step.index, 0)) for i in step.reads}
        live: dict[int, int] = {first: self.value(first)}
        most = largest = 1
        for n, step in enumerate(steps):
            live[step.index] = 0 if step.index in parts else self.value(step.index)
            work = 3 * max(live[step.index], *(live.get(i, 0) for i in step.reads), 0)
            if self.changes.of[step.index] is Whole.DENSE:  # completes what it reads
                work += sum(self.whole(i) for i in step.reads)
            if step.index in self.changes.cuts:  # runs on whole maps
                work += self.whole(step.index) + sum(self.whole(i) for i in step.reads)
            if isinstance(step, Convolution):
                positions = self.value(step.index) // self.base[step.index].shape[1]
                work += positions * step.reads_per_position(self.base, self.changes)
            most, largest = max(most, sum(live.values()) + work), max(largest, live[step.index])
            live = {i: size for i, size in live.items() if last.get(i, n) > n or i in kept}
        return most, largest

    def _by_parts(self, steps: Sequence[Step]) -> set[int]:
        """The concatenations that nobody copies."""
        found = {s.index for s in steps if isinstance(s, Concatenation) and s.operands(self.base) is not None}
        for step in steps:
            takes = isinstance(step, Concatenation) and step.index in found
            if isinstance(step, Convolution):
                takes = step.takes_parts(self.base, self.changes)
            if not takes and not isinstance(step, Pooling):
                found -= set(step.reads)
        return found


def _mean_area(rows: Intervals, columns: Intervals) -> float:
    return float((rows[:, 1] - rows[:, 0]).mean() * (columns[:, 1] - columns[:, 0]).mean())
