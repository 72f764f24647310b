"""How each form of node is computed for a chunk of windows, in torch and zfcuda's operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.change_analysis import Flattened, Forms, Local, Whole, sized
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.patches import (
    Layout,
    Moves,
    Patches,
    cut,
    cut_positions,
    dense,
    gather,
    look_up,
    on_device,
    rectangles,
    same,
    tables,
)
from zfcuda.occlusion.incremental.precision import as_convolution
from zfcuda.ops import patches as patch_ops


class Step(Protocol):
    """index: the node whose value it computes. reads: the nodes whose values it needs, constants left out."""

    @property
    def index(self) -> int: ...

    @property
    def reads(self) -> list[int]: ...

    def run(self, chunk: Chunk) -> Any:
        """The value: Patches for a local map, else what the node itself gives for a batch of windows."""


def step_of(node: Node, forms: Forms) -> Step | None:
    """None: nothing to do for constants, and for what is read through its source."""
    form = forms.of[node.index]
    if form is Whole.CONSTANT or isinstance(form, Flattened) or node.kind == "input":
        return None
    reads = [i for i in node.refs if forms.of[i] is not Whole.CONSTANT]
    reads = [f.source if isinstance(f := forms.of[i], Flattened) else i for i in reads]
    if form is Whole.SIZE:
        return Sizes(node, reads)
    if node.index in forms.reductions:
        return (FirstLinear if node.kind == "linear" else GlobalMean)(node, reads)
    if not isinstance(form, Local):
        return (Linear if node.kind == "linear" else InFull)(node, reads)
    if node.index in forms.windows:
        return (NormWithin if node.kind == "lrn_within" else Pooling)(node, reads)
    if node.index in forms.lookups:
        return Moving(node, reads[:1])
    if node.index in forms.cuts:
        return Cut(node, reads)
    return Positions(node, reads)


@dataclass(frozen=True)
class _OfNode:
    node: Node
    reads: list[int]

    @property
    def index(self) -> int:
        return self.node.index


class Sizes(_OfNode):
    """Sizes, which only a stand-in for the batch has to tell."""

    def run(self, chunk: Chunk) -> Any:
        return sized(self.node, chunk.base.values, chunk.forms.of, chunk.values, len(chunk))


class InFull(_OfNode):
    """The node as it is, on a batch with one row per window."""

    def run(self, chunk: Chunk) -> Any:
        return self.node.run(chunk.resolve(self.node))


class Moving(_OfNode):
    """Values from elsewhere on the map: a crop, padding."""

    def run(self, chunk: Chunk) -> Patches:
        layout, patches = chunk.layout(self.index), chunk.values[self.reads[0]]
        return Patches(moved(chunk, self.index, chunk.base.map(self.index), True, patches, layout), layout)


class Cut(_OfNode):
    """The node as it is on whole maps, of which again one rectangle has changed."""

    def run(self, chunk: Chunk) -> Patches:
        layout = chunk.layout(self.index)
        whole = self.node.run(chunk.resolve(self.node))
        at = chunk.places.once(
            ("cut", self.index), lambda: cut_positions(whole.shape[2], whole.shape[3], layout, whole.device)
        )
        return Patches(cut(whole, at), layout)


class Positions(_OfNode):
    """Position by position: the node itself, on all patches as one map of one column."""

    def run(self, chunk: Chunk) -> Patches:
        layout = chunk.layout(self.index)
        height, width = chunk.base[self.index].shape[2:]

        def value(ref: Any) -> Any:
            if not isinstance(ref, Ref):
                return ref
            if chunk.forms.of[ref.index] is not Whole.CONSTANT:
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

        result = self.node.run({name: map_nest(x, value) for name, x in self.node.arguments.items()})
        rows = result.permute(0, 2, 3, 1).reshape(layout.rows, result.shape[1])
        return Patches(rows, layout)


def moved(chunk: Chunk, index: int, fallback: Tensor, own: bool, patches: Patches, wanted: Layout) -> Tensor:
    """look_up by the lookup of a node."""
    moves = chunk.places.once(
        ("moves", index),
        lambda: Moves.of(fallback.shape[3], own, patches.layout, chunk.forms.lookups[index], wanted, fallback.device),
    )
    return look_up(fallback, patches, moves)


def contexts(chunk: Chunk, index: int, source: int) -> tuple[Tensor, Layout]:
    """What a convolution reads to compute the changed rectangles of its output, the padding included."""

    def make() -> Layout:
        sides = chunk.forms.windows[index]
        read = [side.read(changed) for side, changed in zip(sides, chunk.places.intervals(index), strict=True)]
        return Layout.of(rectangles(*read), True)

    wanted = chunk.places.once(("read", index), make)
    if index in chunk.forms.lookups:
        return moved(chunk, index, chunk.base.map(source), False, chunk.values[source], wanted), wanted
    return gather(chunk.base.map(source), chunk.values[source], wanted), wanted


class Pooling(_OfNode):
    """Max and average pooling."""

    def run(self, chunk: Chunk) -> Patches:
        source = self.node.arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
        base, average = chunk.base.map(source), self.node.kind != "max_pool"
        have, want = tables(patches.layout, layout, base.device)
        values = patch_ops.pool_patches(
            base, patches.values, have, want, layout.rows, **window_settings(chunk, self.index), sum=average
        )
        return Patches(values.mul_(self._divided(chunk, layout)) if average else values, layout)

    def _divided(self, chunk: Chunk, layout: Layout) -> Tensor:
        """[rows,1]: one over the divisor of each position, which is smaller at the border for some settings."""
        base = chunk.base[self.node.arguments["input"].index]
        ones = torch.ones(
            1, 1, *base.shape[2:], dtype=torch.promote_types(base.dtype, torch.float32), device=base.device
        )
        arguments = self.node.resolve(chunk.base.values) | {"input": ones}
        average = self.node.run(arguments)
        if self.node.kind == "avg_pool":
            of_ones = self.node.run(arguments | {"divisor_override": 1})
        else:
            rows, columns = chunk.forms.windows[self.index]
            of_ones = torch.full_like(average, rows.taps * columns.taps)
        table = (average / of_ones).nan_to_num(0.0).to(chunk.base.dtype)
        return gather(table, Patches(table.new_empty(0, 1), chunk.places.empty(self.index)), layout)


class NormWithin(_OfNode):
    """Normalisation within a channel: each value by the sum of squares around it."""

    def run(self, chunk: Chunk) -> Patches:
        arguments = self.node.arguments
        source = arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
        base = chunk.base.map(source)
        prepared = chunk.base.prepared
        if self.index not in prepared:
            prepared[self.index] = base * base
        have, want = tables(patches.layout, layout, base.device)
        sums = patch_ops.pool_patches(
            prepared[self.index],
            patches.values * patches.values,
            have,
            want,
            layout.rows,
            **window_settings(chunk, self.index),
            sum=True,
        )
        scale = (1 + arguments["alpha"] / arguments["size"] ** 2 * sums) ** -arguments["beta"]
        return Patches(gather(base, patches, layout) * scale, layout)


def window_settings(chunk: Chunk, index: int) -> dict[str, tuple[int, int]]:
    """Those of the operators on patches."""
    rows, columns = chunk.forms.windows[index]
    return {
        "kernel_size": (rows.taps, columns.taps),
        "stride": (rows.step, columns.step),
        "padding": (rows.before, columns.before),
        "dilation": (rows.dilation, columns.dilation),
    }


def differences(chunk: Chunk, index: int) -> tuple[Tensor, Layout]:
    """What the windows add to a map, patch - base, in float32 or better."""
    patches: Patches = chunk.values[index]
    layout = patches.layout
    base = chunk.base.map(index)
    before = gather(base, Patches(base.new_empty(0, base.shape[1]), chunk.places.empty(index)), layout)
    wide = torch.promote_types(base.dtype, torch.float32)
    return patches.values.to(wide) - before.to(wide), layout


def sums_of_differences(chunk: Chunk, index: int) -> Tensor:
    """[n,C]: patch - base, summed over each window's rectangle."""
    difference, layout = differences(chunk, index)
    result = difference.new_zeros(len(chunk), difference.shape[1])
    if layout.rows:
        lengths, order = chunk.places.once(
            ("areas", index),
            lambda: [on_device(t, difference.device) for t in (layout.areas[layout.order], layout.order)],
        )
        # unsafe: without looking at the lengths, for which a GPU would have to be waited for.
        result[order] = torch.segment_reduce(difference, "sum", lengths=lengths, axis=0, initial=0, unsafe=True)
    return result


class GlobalMean(_OfNode):
    """The mean over the map: that of the whole picture, and what the patches add."""

    def run(self, chunk: Chunk) -> Tensor:
        source = self.node.arguments["input"].index
        base = chunk.base[self.index]
        height, width = chunk.base[source].shape[2:]
        added = sums_of_differences(chunk, source) / (height * width)
        return (base.flatten(1) + added).to(chunk.base.dtype).view(len(chunk), *base.shape[1:])


def suits_rows(chunk: Chunk) -> bool:
    """Whether the CPU's own linear layer takes it, and is worth it."""
    return chunk.base.dtype == torch.float32 and chunk.base.device.type == "cpu" and len(chunk) >= 8


class Linear(_OfNode):
    """A linear layer on vectors."""

    def run(self, chunk: Chunk) -> Tensor:
        arguments = chunk.resolve(self.node)
        if not suits_rows(chunk) or arguments["input"].dim() != 2:
            return self.node.run(arguments)
        return patch_ops.linear_rows(**arguments)


class FirstLinear(_OfNode):
    """The first linear layer on a map: what it gives for the whole picture, and the changed columns of its weight times
    what the windows add there.
    """

    def run(self, chunk: Chunk) -> Tensor:
        if not suits_rows(chunk):
            return self.node.run(chunk.resolve(self.node))
        (source,) = self.reads
        base = chunk.base.map(source)
        height, width = base.shape[2:]
        table = chunk.values[source].layout.table
        # Neighbours in this order change nearly the same columns, and the kernel reads the weights once for several.
        order = np.lexsort((table[:, 3], table[:, 1], table[:, 2], table[:, 0]))
        everything = chunk.places.whole(height, width)
        have = Patches(chunk.values[source].values, Layout(table[order], np.arange(len(order)), 0))
        added = gather(base, have, everything).view(len(order), -1)
        added -= base.permute(0, 2, 3, 1).reshape(1, -1)
        weight = chunk.base.cast(self.node.arguments["weight"].index)
        before = chunk.base.cast(self.index)[0]
        sums = patch_ops.linear_rows(added, weight, before, torch.from_numpy(table[order]), (height, width))
        result = torch.empty_like(sums)
        result[torch.from_numpy(order)] = sums
        return result


def _without_input(node: Node, base: Base) -> dict[str, Any]:
    """A layer's own tensors and settings."""
    own = {name: value for name, value in node.arguments.items() if name != "input"}
    return {name: base[value.index] if isinstance(value, Ref) else value for name, value in own.items()}


@dataclass(frozen=True)
class Convolution:
    """A convolution, with what follows it at each position: batch norm (folded), a sum with another map, ReLU.

    node: whose value it computes, the last of them.
    """

    node: Node
    reads: list[int]
    conv: Node
    norms: tuple[Node, ...] = ()
    residual: int | None = None
    relu: bool = False

    @property
    def index(self) -> int:
        return self.node.index

    def filters(self, base: Base) -> tuple[Tensor, Tensor | None]:
        """Weight [O,C/groups,kh,kw] and bias [O], the batch norms folded in."""
        conv = _without_input(self.conv, base)
        weight, bias = conv["weight"], conv["bias"]
        for norm in self.norms:
            n = _without_input(norm, base)
            scale = (n["running_var"] + n["eps"]).rsqrt()
            scale = scale if n["weight"] is None else scale * n["weight"]
            before = 0 if bias is None else bias
            bias = (before - n["running_mean"]) * scale
            bias = bias if n["bias"] is None else bias + n["bias"]
            weight = weight * scale[:, None, None, None]
        return weight.to(base.dtype), None if bias is None else bias.to(base.dtype)

    def run(self, chunk: Chunk) -> Patches:
        ways = {"dense": self._dense, "product": self._product, "ragged": self._ragged}
        return ways[self.way(chunk.base, chunk.forms)](chunk)

    def way(self, base: Base, forms: Forms) -> str:
        """Which of the three ways below it goes."""
        if self.conv.arguments["groups"] != 1 or self.conv.index in forms.lookups:
            return "dense"
        return "ragged" if base.dtype == torch.float32 and base.device.type == "cpu" else "product"

    def reads_per_position(self, base: Base, forms: Forms) -> int:
        """Numbers that stand beside each position of the output while it is computed."""
        weight = base[self.conv.arguments["weight"].index]
        return weight[0].numel() if self.way(base, forms) == "product" else 0

    def _prepared(self, chunk: Chunk, make: Any) -> Any:
        """The filters as the kernel takes them, made once for a picture."""
        if self.index not in chunk.base.prepared:
            chunk.base.prepared[self.index] = make(*self.filters(chunk.base))
        return chunk.base.prepared[self.index]

    def _residual(self, chunk: Chunk, layout: Layout) -> Tensor | None:
        """[rows,O]: the other map of the sum, where this one changes."""
        if self.residual is None:
            return None
        other = chunk.values[self.residual]
        if same(other.layout, layout):
            return other.values
        return gather(chunk.base.map(self.residual), other, layout)

    def _ragged(self, chunk: Chunk) -> Patches:
        """The CPU's own kernel takes patches of all sizes at once."""
        settings = window_settings(chunk, self.conv.index)

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, int]:
            return patch_ops.pack_filters(weight, settings["stride"], settings["dilation"]), bias, len(weight)

        filters, bias, channels = self._prepared(chunk, pack)
        source = self.conv.arguments["input"].index
        layout, patches = chunk.layout(self.conv.index), chunk.values[source]
        base = chunk.base.map(source)
        have, want = tables(patches.layout, layout, base.device)
        values = patch_ops.conv_patches(
            base,
            patches.values,
            have,
            want,
            layout.rows,
            filters,
            bias,
            self._residual(chunk, layout),
            channels=channels,
            relu=self.relu,
            **settings,
        )
        return Patches(values, layout)

    def _product(self, chunk: Chunk) -> Patches:
        """One matrix product for patches of all sizes."""

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).contiguous(), bias

        weight, bias = self._prepared(chunk, pack)
        source = self.conv.arguments["input"].index
        layout, patches = chunk.layout(self.conv.index), chunk.values[source]
        settings, base = window_settings(chunk, self.conv.index), chunk.base.map(source)
        read = patches.values
        if set(settings.values()) != {(1, 1), (0, 0)} or not same(patches.layout, layout):
            have, want = tables(patches.layout, layout, base.device)
            read = patch_ops.unfold_patches(base, patches.values, have, want, layout.rows, **settings)
        with as_convolution(base.device):
            values = read @ weight if bias is None else torch.addmm(bias, read, weight)
        return Patches(self._finish(values, self._residual(chunk, layout)), layout)

    def _finish(self, values: Tensor, residual: Tensor | None) -> Tensor:
        if residual is not None:
            values.add_(residual)
        return values.relu_() if self.relu else values

    def _dense(self, chunk: Chunk) -> Patches:
        """torch's convolution, on each group of patches of one size. The groups of what is read are those of what is
        computed, in the same order, since the one size grows with the other.
        """

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return weight.contiguous(memory_format=torch.channels_last), bias

        weight, bias = self._prepared(chunk, pack)
        settings, groups = window_settings(chunk, self.conv.index), self.conv.arguments["groups"]
        values, read = contexts(chunk, self.conv.index, self.conv.arguments["input"].index)
        results = [
            F.conv2d(dense(values, group), weight, bias, settings["stride"], 0, settings["dilation"], groups)
            for group in read.groups()
        ]
        layout = chunk.layout(self.conv.index)
        rows = [result.permute(0, 2, 3, 1).reshape(-1, len(weight)) for result in results]
        joined = torch.cat([values.new_empty(0, len(weight)), *rows]) if len(rows) != 1 else rows[0]
        return Patches(self._finish(joined, self._residual(chunk, layout)), layout)
