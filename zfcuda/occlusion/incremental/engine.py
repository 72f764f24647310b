"""The engine: a network's answers to all occluded pictures, computing again only what each window changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.network import Network
from zfcuda.occlusion.brute_force import out_of_memory, total_activity
from zfcuda.occlusion.incremental.change_analysis import Flattened, Forms, Local, Whole, classify
from zfcuda.occlusion.incremental.chunk import Base, Chunk, Places
from zfcuda.occlusion.incremental.fusion import lower
from zfcuda.occlusion.incremental.patches import Layout, Patches, Table, gather
from zfcuda.occlusion.incremental.regions import Intervals
from zfcuda.occlusion.incremental.steps import Convolution, FirstLinear, Step, sums_of_differences
from zfcuda.occlusion.result import WindowOutputs
from zfcuda.occlusion.windows import starts

# On a CPU the maps of a chunk should stay in the cache, and each below the size from which malloc takes fresh pages.
_WINDOWS = {"cpu": 64, "cuda": 4096}
_LARGEST = {"cpu": 16 << 20}


class Plan:
    """How one network takes pictures of one size with one grid of windows; pictures of this size share it.

    output, watched: nodes; the watched one's activity is recorded.
    """

    def __init__(
        self,
        network: Network,
        base: dict[int, Any],
        size: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        watched: int | None,
    ) -> None:
        self.network, self.watched = network, watched
        self.output = network.names[""]
        self.wanted = [self.output] if watched is None else [self.output, watched]
        self.nodes = network.ancestors(self.wanted)
        sides = [_covered(size[i], window[i], stride[i]) for i in (0, 1)]
        self.grid = (len(sides[0]), len(sides[1]))
        self.forms = classify(network, self.nodes, base, *sides)
        self.steps = lower(self.nodes, self.forms, self.wanted)
        self.kept = {f.source if isinstance(f := self.forms.of[i], Flattened) else i for i in self.wanted}
        self.input = next((node.index for node in self.nodes if node.kind == "input"), -1)
        self.head, self.tail = _split(self.steps, self.forms, self.kept)
        read = {i for step in self.steps for i in [step.index, *step.reads]} | self.kept
        # Not the maps between what was fused.
        self.needed = {i for i, form in self.forms.of.items() if not isinstance(form, Local) or i in read}
        self._places: dict[tuple[str, bytes], Places] = {}
        if not self.forms.windows:
            why = self.forms.completed[0] if self.forms.completed else "nothing in it is a convolution or a pooling"
            raise ValueError(f"no layer works on a part of its map alone: {why}")

    @property
    def reason(self) -> str:
        """What was done, in a sentence."""
        done = "only what each window changes was computed again"
        if self.forms.completed:
            done += (
                f", up to {self.forms.completed[0]}, which needs whole maps: from there on each window was run in full"
            )
        if self.network.shape is not None:
            done += "; the model was followed by torch.export, for pictures of this shape"
        return done

    def run(
        self,
        fill: Tensor,
        values: dict[int, Any],
        dtype: torch.dtype,
        budget: int,
        bar: tqdm[Any],
        *,
        repeated: bool = False,
        windows: Table | None = None,
    ) -> WindowOutputs:
        """The outputs for the windows of one image.

        fill: [C,H,W], what covers it. values: of the needed nodes for this picture. dtype: that the windows are
        computed in.
        budget: bytes. repeated: whether more images will come, for which tables are kept. windows: int64 [n], which of
        the grid; None: all.
        """
        base = Base(values, dtype)
        paint = fill[None].to(dtype).contiguous(memory_format=torch.channels_last)
        windows = np.arange(self.grid[0] * self.grid[1]) if windows is None else windows
        sizes = _Sizes(self, base)
        budget = max(budget // 4, budget - sizes.lasting())
        block = max(1, int(budget // 2 // max(1, sizes.kept(self.tail)))) if self.tail else len(windows)
        size = sizes.chunk(self.head, budget // 2 if self.tail else budget)
        logits, activity = [], []
        read = {i for step in self.tail for i in step.reads}
        late = self.watched in {step.index for step in self.tail}
        for first in range(0, len(windows), block):
            some = windows[first : first + block]
            parts: list[Chunk] = []
            done = 0
            while done < len(some):
                chunk = Chunk(base, self._placed("part", some[done : done + size], repeated))
                try:
                    self._start(chunk, paint)
                    self._steps(chunk, self.head, self.tail)
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if size == 1 or not out_of_memory(error):
                        raise
                    size //= 2
                    continue
                done += len(chunk)
                bar.update(len(chunk))
                if self.watched is not None and not late:
                    activity.append(self._activity(chunk))
                if self.tail:
                    chunk.values = {i: value for i, value in chunk.values.items() if i in read}
                    parts.append(chunk)
                else:
                    logits.append(self._output(chunk))
            if self.tail:
                try:
                    parts = [self._finished(base, parts, self._placed("block", some, repeated))]
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if len(parts) == 1 or not out_of_memory(error):
                        raise
                    parts = [self._finished(base, [part], part.places) for part in parts]
            for chunk in parts:
                logits.append(self._output(chunk))
                if late:
                    activity.append(self._activity(chunk))
        return WindowOutputs(torch.cat(logits), torch.cat(activity) if activity else None)

    def _placed(self, kind: str, windows: Table, repeated: bool) -> Places:
        """Where these windows change the maps."""
        key = (kind, windows.tobytes())
        places = self._places.get(key)
        if places is None:
            places = Places(self.forms, windows // self.grid[1], windows % self.grid[1])
            if repeated:
                self._places[key] = places
        return places

    def _start(self, chunk: Chunk, paint: Tensor) -> None:
        layout = chunk.layout(self.input)
        nothing = Patches(paint.new_empty(0, paint.shape[1]), chunk.places.empty(self.input))
        chunk.values[self.input] = Patches(gather(paint, nothing, layout), layout)

    def _steps(self, chunk: Chunk, steps: Sequence[Step], later: Sequence[Step]) -> None:
        """Runs them, letting go of every value after its last reader."""
        last = {i: step.index for step in steps for i in step.reads}
        keep = {*self.kept, *(i for step in later for i in step.reads)}
        for step in steps:
            chunk.values[step.index] = step.run(chunk)
            for i in step.reads:
                if last[i] == step.index and i not in keep:
                    chunk.values.pop(i, None)
                    chunk.completed.pop(i, None)

    def _finished(self, base: Base, parts: Sequence[Chunk], places: Places) -> Chunk:
        """Several chunks as one, after the tail has run on it."""
        chunk = parts[0] if len(parts) == 1 else self._joined(base, parts, places)
        self._steps(chunk, self.tail, [])
        return chunk

    def _joined(self, base: Base, parts: Sequence[Chunk], places: Places) -> Chunk:
        """One chunk of many, with the values that the tail reads."""
        chunk = Chunk(base, places)
        for index in parts[0].values:
            values = [part.values[index] for part in parts]
            if not isinstance(values[0], Patches):
                chunk.values[index] = torch.cat(values) if isinstance(values[0], Tensor) else values[0]
                continue
            layouts = [patches.layout for patches in values]
            layout = places.once(("joined", index), partial(_one_after_the_other, layouts))
            chunk.values[index] = Patches(torch.cat([patches.values for patches in values]), layout)
        return chunk

    def _output(self, chunk: Chunk) -> Tensor:
        if self.forms.of[self.output] is Whole.CONSTANT:
            value = chunk.base[self.output].expand(len(chunk), *chunk.base[self.output].shape[1:])
        else:
            value = chunk.whole(self.output)
        return (value[:, None] if value.dim() == 1 else value).float()

    def _activity(self, chunk: Chunk) -> Tensor:
        """[n,units]: the watched map summed over its positions."""
        assert self.watched is not None
        form = self.forms.of[self.watched]
        base = chunk.base[self.watched]
        total = total_activity(base)
        if form is Whole.CONSTANT:
            return total.expand(len(chunk), -1)
        if isinstance(form, Local):
            return total + sums_of_differences(chunk, self.watched).float()
        return total_activity(chunk.whole(self.watched))


def _one_after_the_other(layouts: Sequence[Layout]) -> Layout:
    """Of the values of several chunks, joined."""
    tables, orders, total, count = [], [], 0, 0
    for layout in layouts:
        table = layout.table.copy()
        table[:, 4] += total
        tables.append(table)
        orders.append(layout.order + count)
        total, count = total + layout.rows, count + len(table)
    return Layout(np.concatenate(tables), np.concatenate(orders), total)


def _covered(length: int, window: int, stride: int) -> Intervals:
    """[n,2]: what the windows of one side cover, clipped to the picture."""
    first = np.array(starts(length, window, stride), np.int64)
    return np.stack([first, (first + window).clip(max=length)], 1)


def _split(steps: list[Step], forms: Forms, wanted: Iterable[int]) -> tuple[list[Step], list[Step]]:
    """Before the first linear layer on a map, and from there on: large weights are read once for many windows."""
    first = next((i for i, step in enumerate(steps) if isinstance(step, FirstLinear)), len(steps))
    head, tail = steps[:first], steps[first:]
    made = {step.index for step in tail}
    needed = {i for step in tail for i in step.reads if i not in made} | {i for i in wanted if i not in made}
    # Whole maps would have to be kept for all windows.
    if any(not isinstance(forms.of[i], Local) for i in needed):
        return steps, []
    return head, tail


class _Sizes:
    """Bytes per window, on average over the grid."""

    def __init__(self, plan: Plan, base: Base) -> None:
        self.plan, self.base = plan, base

    def value(self, index: int) -> int:
        form, value = self.plan.forms.of[index], self.base[index]
        if not isinstance(value, Tensor) or form is Whole.CONSTANT:
            return 0
        if isinstance(form, Local):
            return int(_mean_area(form.rows, form.columns) * value.shape[1]) * self.base.dtype.itemsize
        return self.whole(index)

    def whole(self, index: int) -> int:
        """The same in full."""
        value = self.base[index]
        return value.numel() * self.base.dtype.itemsize if isinstance(value, Tensor) else 0

    def kept(self, tail: Sequence[Step]) -> int:
        """What the tail needs: its inputs, completed, and all that it computes."""
        read = {i for step in tail for i in step.reads} | {step.index for step in tail}
        return sum(self.value(i) + self.whole(i) for i in read)

    def lasting(self) -> int:
        """What stays from the first chunk to the last: the picture's maps, and the filters in the kernel's order."""
        maps = sum(
            self.whole(i) for i, form in self.plan.forms.of.items() if isinstance(form, Local) and i in self.base
        )
        filters = sum(2 * self.whole(node.refs[1]) for node in self.plan.nodes if node.kind == "conv")
        return maps + filters

    def chunk(self, steps: Sequence[Step], budget: int) -> int:
        """How many windows fit, every value twice for what its computation reads beside it."""
        last = {i: n for n, step in enumerate(steps) for i in step.reads}
        live: dict[int, int] = {self.plan.input: self.value(self.plan.input)}
        most = largest = 1
        for n, step in enumerate(steps):
            live[step.index] = self.value(step.index)
            work = 3 * max(live[step.index], *(live.get(i, 0) for i in step.reads), 0)
            if self.plan.forms.of[step.index] is Whole.DENSE:  # completes what it reads
                work += sum(self.whole(i) for i in step.reads)
            if isinstance(step, Convolution):
                positions = self.value(step.index) // self.base[step.index].shape[1]
                work += positions * step.reads_per_position(self.base, self.plan.forms)
            most, largest = max(most, sum(live.values()) + work), max(largest, live[step.index])
            live = {i: size for i, size in live.items() if last.get(i, n) > n or i in self.plan.kept}
        device = self.base[self.plan.output].device.type
        fitting = min(budget // most, _LARGEST.get(device, budget) // largest, _WINDOWS.get(device, 256))
        return max(1, int(fitting))


def _mean_area(rows: Intervals, columns: Intervals) -> float:
    return float((rows[:, 1] - rows[:, 0]).mean() * (columns[:, 1] - columns[:, 0]).mean())
