"""The steps: how each kind of node is computed for a chunk of windows, in torch and zfcuda's operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.change_analysis import Changes, Local, Whole, sized
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.joined import Joined, Part
from zfcuda.occlusion.incremental.patches import (
    Layout,
    Moves,
    Patches,
    cut,
    cut_positions,
    gather,
    look_up,
    rectangles,
    tables,
)
from zfcuda.ops import patches as patch_ops


class Step(Protocol):
    """Computes the value of one node for a chunk.

    index: the node whose value it computes. reads: the nodes whose values it needs, constants left out.
    """

    @property
    def index(self) -> int: ...

    @property
    def reads(self) -> list[int]: ...

    def run(self, chunk: Chunk) -> Any:
        """The value: Patches for a local map, else what the node itself gives for a batch of windows."""


@dataclass(frozen=True)
class NodeStep:
    """The step of one node, which nothing was fused with."""

    node: Node
    reads: list[int]

    @property
    def index(self) -> int:
        return self.node.index


class Sizes(NodeStep):
    """Sizes, which only a stand-in for the batch has to tell."""

    def run(self, chunk: Chunk) -> Any:
        return sized(self.node, chunk.base.values, chunk.changes.of, chunk.values, len(chunk))


class InFull(NodeStep):
    """The node as it is, on a batch with one row per window."""

    def run(self, chunk: Chunk) -> Any:
        return chunk.compute(self.node, chunk.resolve(self.node))


@dataclass(frozen=True)
class Filling(NodeStep):
    """Maps that meet one number for all places of a channel: windows then change every place.

    alone: whether nobody else reads these maps any more, which it then writes over.
    """

    alone: bool = False

    @staticmethod
    def source(node: Node, changes: Changes) -> int:
        """The node of the map."""
        return next(i for i in node.refs if isinstance(changes.of[i], Local))

    def run(self, chunk: Chunk) -> Patches:
        source, layout = self.source(self.node, chunk.changes), chunk.layout(self.index)
        patches = chunk.aligned(source, self.index)
        values = patches.values.view(len(chunk), -1, patches.values.shape[1])
        numbers = chunk.whole(next(i for i in self.node.refs if i != source)).flatten(1)[:, None]
        own = (self.alone or patches is not chunk.values[source]) and numbers.dtype == values.dtype
        if self.node.kind == "mul":
            result = values.mul_(numbers) if own else values * numbers
        else:
            result = values.add_(numbers) if own else values + numbers
        return Patches(result.view(layout.rows, -1), layout)


class Moving(NodeStep):
    """Values from elsewhere on the map: a crop, padding."""

    def run(self, chunk: Chunk) -> Patches:
        layout, patches = chunk.layout(self.index), chunk.values[self.reads[0]]
        values = moved(chunk, self.index, chunk.base.map(self.index), True, patches, layout)
        return Patches(values + 0 * values if chunk.changes.lookups[self.index].weighted else values, layout)


class Cut(NodeStep):
    """The node as it is on whole maps, of which again one rectangle has changed."""

    def run(self, chunk: Chunk) -> Patches:
        layout = chunk.layout(self.index)
        whole = chunk.compute(self.node, chunk.resolve(self.node))
        at = chunk.places.once(
            ("cut", self.index), lambda: cut_positions(whole.shape[2], whole.shape[3], layout, whole.device)
        )
        return Patches(cut(whole, at), layout)


class Positions(NodeStep):
    """Position by position: the node itself, on all patches as one map of one column."""

    def run(self, chunk: Chunk) -> Patches:
        layout = chunk.layout(self.index)
        height, width = chunk.base[self.index].shape[2:]

        def value(ref: Any) -> Any:
            if not isinstance(ref, Ref):
                return ref
            if chunk.changes.of[ref.index] is not Whole.CONSTANT:
                return chunk.aligned(ref.index, self.index).as_map()
            constant = chunk.base.cast(ref.index)
            if not isinstance(constant, Tensor) or self.node.kind in ("lrn", "batch_norm", "other"):
                return constant
            sides = (1, 1, *constant.shape)[-2:]
            if sides == (1, 1) and self.node.kind != "cat":
                return constant
            # Laid over the map: each patch gets its part of it.
            over = constant.view((1,) * (4 - constant.dim()) + constant.shape)
            over = over.expand(1, over.shape[1], height, width).contiguous(memory_format=torch.channels_last)
            nothing = Patches(over.new_empty(0, over.shape[1]), chunk.places.empty(self.index))
            return Patches(gather(over, nothing, layout), layout).as_map()

        result = chunk.compute(self.node, {name: map_nest(x, value) for name, x in self.node.arguments.items()})
        rows = result.permute(0, 2, 3, 1).reshape(layout.rows, result.shape[1])
        return Patches(rows, layout)


def moved(chunk: Chunk, index: int, fallback: Tensor, own: bool, patches: Patches, wanted: Layout) -> Tensor:
    """Reads by the lookup of a node, as look_up does."""
    moves = chunk.places.once(
        ("moves", index, patches.layout, wanted),
        lambda: Moves.of(fallback.shape[3], own, patches.layout, chunk.changes.lookups[index], wanted, fallback.device),
    )
    return look_up(fallback, patches, moves)


def contexts(
    chunk: Chunk, index: int, source: int, changed: int, around: tuple[int, int] = (0, 0)
) -> tuple[Tensor, Layout]:
    """What a convolution reads to compute rectangles of its output, the padding included.

    changed: the node whose changed rectangles these are: its own, or what is computed together with it. around: how
        much more it pads (rows, columns).
    """

    def make() -> Layout:
        sides = [
            replace(side, padding=side.padding + more)
            for side, more in zip(chunk.changes.windows[index], around, strict=True)
        ]
        read = [side.read(wanted) for side, wanted in zip(sides, chunk.places.intervals(changed), strict=True)]
        return Layout.of(rectangles(*read), True)

    wanted = chunk.places.once(("read", index), make)
    if index in chunk.changes.lookups:
        return moved(chunk, index, chunk.base.map(source), False, chunk.values[source], wanted), wanted
    return gather(chunk.base.map(source), chunk.values[source], wanted), wanted


def _pooled(chunk: Chunk, index: int, base: Tensor, patches: Patches, layout: Layout, sum: bool) -> Tensor:
    """The largest value or the sum of each window of a layer; sums of float16 in float32, beyond which none is."""
    values = patches.values
    if sum and base.dtype == torch.float16:
        base, values = base.float(), values.float()
    have, want = tables(patches.layout, layout, base.device)
    settings = window_settings(chunk.changes, index)
    return patch_ops.pool_patches(base, values, have, want, layout.rows, **settings, sum=sum)


class Pooling(NodeStep):
    """Max and average pooling."""

    def run(self, chunk: Chunk) -> Patches:
        source = self.node.arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
        if not isinstance(patches, Joined):
            return self._of(chunk, chunk.base.map(source), patches, layout)
        pooled = [self._of(chunk, part.map, part.patches, layout) for part in patches.parts]
        maps = self._maps(chunk.base, [part.values.shape[1] for part in pooled])
        return Joined([Part(*each) for each in zip(maps, pooled, strict=True)], layout)

    def _maps(self, base: Base, channels: list[int]) -> list[Tensor]:
        """The whole image's map in parts of so many channels."""
        key = (self.index, "parts", *channels)
        if key not in base.prepared:
            parts = base.map(self.index).split(channels, 1)
            base.prepared[key] = [part.contiguous(memory_format=torch.channels_last) for part in parts]
        maps: list[Tensor] = base.prepared[key]
        return maps

    def _of(self, chunk: Chunk, base: Tensor, patches: Patches, layout: Layout) -> Patches:
        """Pools some or all of the channels."""
        average = self.node.kind != "max_pool"
        values = _pooled(chunk, self.index, base, patches, layout, average)
        if average:
            values = values.mul_(self._divided(chunk, layout).to(values.dtype)).to(base.dtype)
        return Patches(values, layout)

    def _divided(self, chunk: Chunk, layout: Layout) -> Tensor:
        """One over the divisor of each position, [rows,1]."""
        table = self.shares(chunk.base, chunk.changes)
        return gather(table, Patches(table.new_empty(0, 1), chunk.places.empty(self.index)), layout)

    def shares(self, base: Base, changes: Changes) -> Tensor:
        """One over the divisor of every position, [1,1,H,W]; the divisor is smaller at the border for some settings."""
        map = base[self.node.arguments["input"].index]
        ones = torch.ones(1, 1, *map.shape[2:], dtype=torch.promote_types(map.dtype, torch.float32), device=map.device)
        arguments = self.node.resolve(base.values) | {"input": ones}
        average = self.node.run(arguments)
        if self.node.kind == "avg_pool":
            of_ones = self.node.run(arguments | {"divisor_override": 1})
        else:
            rows, columns = changes.windows[self.index]
            of_ones = torch.full_like(average, rows.kernel * columns.kernel)
        shares: Tensor = (average / of_ones).nan_to_num(0.0).to(base.dtype)
        return shares


class NormWithin(NodeStep):
    """Normalisation within a channel: each value by the sum of squares around it."""

    def run(self, chunk: Chunk) -> Patches:
        arguments = self.node.arguments
        source = arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
        base = chunk.base.map(source)
        prepared = chunk.base.prepared
        if self.index not in prepared:
            prepared[self.index] = base * base
        squares = Patches(patches.values * patches.values, patches.layout)
        sums = _pooled(chunk, self.index, prepared[self.index], squares, layout, True)
        scale = (1 + arguments["alpha"] / arguments["size"] ** 2 * sums) ** -arguments["beta"]
        return Patches(gather(base, patches, layout) * scale.to(base.dtype), layout)


def window_settings(changes: Changes, index: int) -> dict[str, tuple[int, int]]:
    """A layer's windows as the operators on patches take them."""
    rows, columns = changes.windows[index]
    return {
        "kernel_size": (rows.kernel, columns.kernel),
        "stride": (rows.stride, columns.stride),
        "padding": (rows.padding, columns.padding),
        "dilation": (rows.dilation, columns.dilation),
    }


def without_input(node: Node, base: Base) -> dict[str, Any]:
    """A layer's own tensors and settings."""
    own = {name: value for name, value in node.arguments.items() if name != "input"}
    return {name: base[value.index] if isinstance(value, Ref) else value for name, value in own.items()}
