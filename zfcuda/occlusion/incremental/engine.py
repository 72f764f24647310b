"""The engine: all occluded images run through a network, computing again only what each window changes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.network import Network, outline
from zfcuda.occlusion.incremental.change_analysis import Changes, Flattened, Local, Whole, classify
from zfcuda.occlusion.incremental.chunk import Base, Chunk, Places
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.footprint import Footprint
from zfcuda.occlusion.incremental.fusion import fuse
from zfcuda.occlusion.incremental.joined import plain
from zfcuda.occlusion.incremental.kept import Kept
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.patches import Layout, Patches, Table, gather
from zfcuda.occlusion.incremental.reductions import FirstLinear
from zfcuda.occlusion.incremental.regions import Intervals
from zfcuda.occlusion.incremental.shuffles import still_read
from zfcuda.occlusion.incremental.steps import Step
from zfcuda.occlusion.incremental.sums import map_sums
from zfcuda.occlusion.incremental.unread import unread
from zfcuda.occlusion.watched_model import total_activity
from zfcuda.occlusion.window_outputs import WindowOutputs
from zfcuda.occlusion.windows import starts

# Windows that there has to be memory for beside what lasts: by ones, each would read all weights for itself.
_FEW = 4


class Plan:
    """How one network takes images of one size with one grid of windows; images of this size share it.

    output, watched: nodes; the watched one's activity is recorded. all_maps: whether maps are held too of which windows
    read no more than what they change.
    """

    def __init__(
        self,
        network: Network,
        base: dict[int, Any],
        size: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        watched: int | None,
        *,
        all_maps: bool = False,
    ) -> None:
        self.network, self.watched = network, watched
        self.output = network.names[""]
        self.wanted = [self.output] if watched is None else [self.output, watched]
        nodes = network.ancestors(self.wanted)
        sides = [_covered(size[i], window[i], stride[i]) for i in (0, 1)]
        self.grid = (len(sides[0]), len(sides[1]))
        self.changes = classify(self.wanted, nodes, base, *sides)
        self.nodes = still_read(nodes, self.changes.replaced, self.wanted)
        self.changes.keep({node.index for node in self.nodes})
        self.steps = fuse(self.nodes, self.changes, self.wanted, base)
        self.kept = {f.source if isinstance(f := self.changes.of[i], Flattened) else i for i in self.wanted}
        self.input = next((node.index for node in self.nodes if node.kind == "input"), -1)
        self.head, self.tail = _split(self.steps, self.changes, self.kept)
        read = {i for step in self.steps for i in [step.index, *step.reads]} | self.kept
        # Not the maps between what was fused.
        self.inside = {node.index for step in self.steps if isinstance(step, Convolution) for node in step.before}
        self.needed = {
            i for i, change in self.changes.of.items() if not isinstance(change, Local) or i in read | self.inside
        }
        # Of what is computed in full for each window only the shape.
        of = {i: self.changes.of[i] for i in self.needed}
        held = {
            i
            for i, c in of.items()
            if (isinstance(c, Local) and i not in self.inside) or c is Whole.CONSTANT or c is Whole.SIZE
        }
        self.held = held | self.changes.reductions | set(self.wanted)
        ends = {*self.wanted, *self.kept, self.input}
        self.unread = set() if all_maps else unread(self.head, self.tail, self.changes, ends, base) & self.held
        self.held -= self.unread
        self.small_tiles = False  # where memory is short
        self._places: dict[tuple[str, bytes], Places] = {}
        self._newest: Places | None = None  # of those, whose tables are not all made yet
        self._tables = 0  # bytes of the tables of the others
        self._kept = Kept()
        self._listed = False
        if not self.changes.windows:
            why = self.changes.completed[0] if self.changes.completed else "nothing in it is a convolution or a pooling"
            raise ValueError(f"no layer works on a part of its map alone: {why}")

    @property
    def reason(self) -> str:
        """What was done, in a sentence."""
        done = "only what each window changes was computed again"
        if self.changes.completed:
            first = self.changes.completed[0]
            done += f", up to {first}, which needs whole maps: from there on each window was run in full"
        if self.network.shape is not None:
            done += "; the model was followed by torch.export, for images of this shape"
        return done

    def over(self, rectangles: Table) -> Plan:
        """The same plan with windows of any sizes in place of its grid: int64 [n,4], (top, left, bottom, right)."""
        other = self._without_tables()
        other.changes = self.changes.over(self.input, rectangles[:, 0::2], rectangles[:, 1::2])
        other.grid, other._listed = (len(rectangles), 1), True
        return other

    def of(self, model: nn.Module) -> Plan:
        """The same plan for a model that is what this one's was, with nothing of what its runs have kept."""
        other = self._without_tables()
        other.network, other._kept = replace(self.network, model=model), Kept()
        return other

    def _without_tables(self) -> Plan:
        other = copy.copy(self)
        other._places, other._newest, other._tables = {}, None, 0
        return other

    def base(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Picks the values that it needs, outlines where their shapes are enough."""
        return {i: values[i] if i in self.held else outline(values[i]) for i in self.needed}

    def memory(self, values: dict[int, Any], dtype: torch.dtype) -> int:
        """The budget that a run needs: for what it holds throughout and a few windows, at least one.

        values: of the needed nodes; outlines are enough. dtype: that the windows are computed in.
        """
        base = Base(values, dtype)
        base.small_tiles = self.small_tiles
        footprint = Footprint(self.changes, base, base.device)
        one = footprint.least(self.head, self.tail, self.input, self.kept)
        lasting = footprint.lasting(self.steps, self.held, self.unread, self.inside)
        return lasting + max(one, min(_FEW * one, lasting // 3))

    def together(self, values: dict[int, Any], dtype: torch.dtype, budget: int) -> int:
        """How many windows make a chunk where the memory is not short. values, dtype: as in memory."""
        base = Base(values, dtype)
        return Footprint(self.changes, base, base.device).chunk(self.head, budget, self.input, self.kept)

    def run(
        self,
        fill: Tensor,
        values: dict[int, Any] | Base,
        dtype: torch.dtype,
        budget: int,
        bar: tqdm[Any],
        *,
        repeated: bool = False,
        recorded: bool = False,
        limit: int | None = None,
        windows: Table | None = None,
    ) -> WindowOutputs:
        """The outputs for the windows of one image.

        Args:
            fill: [C,H,W], what covers the image.
            values: of the needed nodes for the whole image; or these with what earlier runs have made of them.
            dtype: that the windows are computed in.
            budget: bytes, where what lasts leaves so many. limit: bytes for all; None: the same.
            repeated: whether more images will come, for which tables are kept, and filters.
            recorded: whether this is recorded to be replayed, and has to read the weights at each replay.
            windows: int64 [n], which of the grid; None: all.
        """
        limit = budget if limit is None else limit
        base = values if isinstance(values, Base) else Base(values, dtype)
        if repeated and not recorded and base.device.type == "cpu":
            base.kept = self._kept
        base.unread, base.small_tiles = self.unread, self.small_tiles
        fill = fill[None].to(dtype).contiguous(memory_format=torch.channels_last)
        windows = np.arange(self.grid[0] * self.grid[1]) if windows is None else windows
        footprint = Footprint(self.changes, base, fill.device)
        lasting = footprint.lasting(self.steps, self.held, self.unread, self.inside)
        rest = max(min(budget // 4, limit - lasting), budget - lasting)
        room = min(budget // 8, rest // 2) if repeated else 0
        run, budget = _Run(self, base, fill, repeated, room, bar), max(1, rest - room)
        block = max(1, budget // 2 // max(1, footprint.kept(self.tail))) if self.tail else len(windows)
        size = footprint.chunk(self.head, budget // 2 if self.tail else budget, self.input, self.kept)
        shown = not bar.disable
        first = footprint.first_chunk(self.head, size, self.input, self.kept) if shown else size
        batches = ShrinkingBatches(size, first)
        for begin in range(0, len(windows), block):
            run.block(windows[begin : begin + block], batches)
        return run.outputs()

    def places(self, kind: str, windows: Table, repeated: bool, room: int) -> Places:
        """Where these windows change the maps. room: bytes of tables that may be kept for more images."""
        key = (kind, windows.tobytes())
        places = self._places.get(key)
        if places is None:
            if self._newest is not None:
                self._tables += self._newest.memory()
                self._newest = None
            places = Places(self.changes, windows, None if self._listed else self.grid[1])
            if repeated and self._tables <= room:
                self._places[key] = self._newest = places
        return places


class _Run:
    """The windows of one image on their way through the steps of a plan."""

    def __init__(self, plan: Plan, base: Base, fill: Tensor, repeated: bool, room: int, bar: tqdm[Any]) -> None:
        """Starts a run. fill: [1,C,H,W] in the dtype and memory format of the patches. repeated, room: see places."""
        self.plan, self.base, self.fill, self.bar = plan, base, fill, bar
        self.repeated, self.room = repeated, room
        if base.device.type == "cpu":  # where Winograd's algorithm is the engine's own
            base.outlying_fill = not within(fill, base.limit(plan.input))
        self._logits: list[Tensor] = []
        self._activity: list[Tensor] = []
        self._read_by_tail = {i for step in plan.tail for i in step.reads}
        self._watched_in_tail = plan.watched in {step.index for step in plan.tail}

    def outputs(self) -> WindowOutputs:
        """What all windows together have given."""
        return WindowOutputs(torch.cat(self._logits), torch.cat(self._activity) if self._activity else None)

    def block(self, windows: Table, batches: ShrinkingBatches) -> None:
        """Runs the head on some windows in batches, and the tail on all together; then lets go of the chunks."""
        parts = [part for part in batches.run(len(windows), partial(self.head, windows)) if part is not None]
        if parts:
            ShrinkingBatches(len(parts)).run(len(parts), partial(self.tail, parts))

    def head(self, windows: Table, batch: slice) -> Chunk | None:
        """Runs the steps before the tail on some of the windows. Returns what the tail needs; None without a tail."""
        plan = self.plan
        chunk = Chunk(self.base, plan.places("part", windows[batch], self.repeated, self.room))
        self._start(chunk)
        self._steps(chunk, plan.head, plan.tail)
        self._record(chunk, logits=not plan.tail, activity=not self._watched_in_tail)
        self.bar.update(len(chunk))
        chunk.values = {i: plain(value) for i, value in chunk.values.items() if i in self._read_by_tail}
        return chunk if plan.tail else None

    def tail(self, parts: Sequence[Chunk], batch: slice) -> None:
        """Runs the last steps on some of the chunks together."""
        parts = parts[batch]
        chunk = parts[0] if len(parts) == 1 else self._joined(parts)
        self._steps(chunk, self.plan.tail, [])
        self._record(chunk, logits=True, activity=self._watched_in_tail)

    def _start(self, chunk: Chunk) -> None:
        """The input's patches, which are all fill."""
        index = self.plan.input
        layout = chunk.layout(index)
        nothing = Patches(self.fill.new_empty(0, self.fill.shape[1]), chunk.places.empty(index))
        chunk.values[index] = Patches(gather(self.fill, nothing, layout), layout)

    def _steps(self, chunk: Chunk, steps: Sequence[Step], later: Sequence[Step]) -> None:
        """Runs them, letting go of every value after its last reader."""
        last = {i: step.index for step in steps for i in step.reads}
        keep = {*self.plan.kept, *(i for step in later for i in step.reads)}
        for step in steps:
            chunk.values[step.index] = step.run(chunk)
            for i in step.reads:
                if last[i] == step.index and i not in keep:
                    chunk.values.pop(i, None)
                    chunk.completed.pop(i, None)

    def _record(self, chunk: Chunk, *, logits: bool, activity: bool) -> None:
        """Adds to the outputs what the chunk holds of them; both or none, since memory may run out in between."""
        added = self._logits_of(chunk) if logits else None
        total = self._activity_of(chunk, self.plan.watched) if activity and self.plan.watched is not None else None
        if added is not None:
            self._logits.append(added)
        if total is not None:
            self._activity.append(total)

    def _joined(self, parts: Sequence[Chunk]) -> Chunk:
        """One chunk of many, with the values that the tail reads."""
        windows = np.concatenate([part.places.windows for part in parts])
        chunk = Chunk(self.base, self.plan.places("block", windows, self.repeated, self.room))
        lengths = tuple(map(len, parts))
        for index in parts[0].values:
            values = [part.values[index] for part in parts]
            if not isinstance(values[0], Patches):
                chunk.values[index] = torch.cat(values) if isinstance(values[0], Tensor) else values[0]
                continue
            layouts = [patches.layout for patches in values]
            layout = chunk.places.once(("joined", index, lengths), partial(_one_after_the_other, layouts))
            chunk.values[index] = Patches(torch.cat([patches.values for patches in values]), layout)
        return chunk

    def _logits_of(self, chunk: Chunk) -> Tensor:
        """The model's output, [n,classes]."""
        output = self.plan.output
        if chunk.changes.of[output] is Whole.CONSTANT:
            value = chunk.base[output].expand(len(chunk), *chunk.base[output].shape[1:])
        else:
            value = chunk.whole(output)
        return (value[:, None] if value.dim() == 1 else value).float()

    def _activity_of(self, chunk: Chunk, watched: int) -> Tensor:
        """The watched map summed over its positions, [n,units]."""
        change = chunk.changes.of[watched]
        if change is Whole.CONSTANT:
            return total_activity(chunk.base[watched]).expand(len(chunk), -1)
        if isinstance(change, Local):
            return map_sums(chunk, watched).float()
        return total_activity(chunk.whole(watched))


def _one_after_the_other(layouts: Sequence[Layout]) -> Layout:
    """The layout of the values of several chunks, joined."""
    tables, orders, total, count = [], [], 0, 0
    for layout in layouts:
        table = layout.table.copy()
        table[:, 4] += total
        tables.append(table)
        orders.append(layout.order + count)
        total, count = total + layout.rows, count + len(table)
    return Layout(np.concatenate(tables), np.concatenate(orders), total)


def _covered(length: int, window: int, stride: int) -> Intervals:
    """The intervals that the windows of one side cover, clipped to the image."""
    first = np.array(starts(length, window, stride), np.int64)
    return np.stack([first, (first + window).clip(max=length)], 1)


def _split(steps: list[Step], changes: Changes, wanted: Iterable[int]) -> tuple[list[Step], list[Step]]:
    """Splits the steps at the first linear layer on a map: from there on weights are read once for many windows."""
    first = next((i for i, step in enumerate(steps) if isinstance(step, FirstLinear)), len(steps))
    head, tail = steps[:first], steps[first:]
    made = {step.index for step in tail}
    needed = {i for step in tail for i in step.reads if i not in made} | {i for i in wanted if i not in made}
    # Whole maps would have to be kept for all windows.
    if any(not isinstance(changes.of[i], Local) for i in needed):
        return steps, []
    return head, tail
