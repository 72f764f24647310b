"""One window at a time on the CPU: a plan's steps with all made beforehand that depends on no window.

A chunk's step looks up layers, layouts and settings as it goes, which for one window takes as long as the arithmetic.
Steps that have no short form here run as a chunk of one window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.network import Node, Ref
from zfcuda.occlusion.incremental.ceilings import ceiling_of
from zfcuda.occlusion.incremental.change_analysis import Local, Whole
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.reductions import FirstLinear, GlobalMean, Linear
from zfcuda.occlusion.incremental.sides import OneWindow
from zfcuda.occlusion.incremental.single_convolution import SingleConvolution, settings_of
from zfcuda.occlusion.incremental.steps import InFull, Pooling, Positions, Step, without_input
from zfcuda.occlusion.incremental.ways import ConvolutionStep
from zfcuda.occlusion.incremental.window import Window

Run = Callable[[Window], None]
kernels = torch.ops.zfcuda  # without what zfcuda.ops.patches does to its arguments
# Positions of a map whose mean is taken in float32, in order.
_FEW = 256


class SingleWindows:
    """The steps of a plan for one image's base, for one window after the other.

    base: float32 or another dtype on the CPU; what is made of it is shared with the plan's own runs.
    """

    def __init__(self, plan: Plan, base: Base) -> None:
        self.plan, self.base = plan, base
        self.where = OneWindow(plan.changes, plan.input)
        self.calls_modules = False  # whether a step may call a module of the model
        self._runs = [self._run_of(step) for step in self._needed()]
        self._nothing = torch.zeros(1, 5, dtype=torch.int64)

    def run(self, fill: Tensor, rectangle: list[int]) -> Tensor:
        """The outputs, float32 [1,classes], while a rectangle (top, left, bottom, right) is covered.

        fill: [1,C,H,W] in the windows' dtype, channels_last.
        """
        window = Window(self.plan.changes, self.where, rectangle)
        input, values = self.plan.input, window.values
        values[input] = kernels.gather_patches(
            fill, fill.new_empty(0, fill.shape[1]), self._nothing, window.tables[0], window.areas[0], 0.0
        )
        for run in self._runs:
            run(window)
        output = self.plan.output
        change = self.plan.changes.of[output]
        if change is Whole.CONSTANT:
            value = self.base[output]
        else:
            value = values[output] if change is Whole.DENSE else self._chunk(window, [output]).whole(output)
        return (value[:, None] if value.dim() == 1 else value).float()

    def _needed(self) -> list[Step]:
        """The steps whose values are read in the end."""
        needed, steps = set(self.plan.kept), []
        for step in reversed(self.plan.steps):
            if step.index in needed:
                needed.update(self._reads(step))
                steps.append(step)
        return steps[::-1]

    def _run_of(self, step: Step) -> Run:
        makers: dict[type, Callable[[Any], Run | None]] = {
            ConvolutionStep: self._convolution,
            Pooling: self._pooling,
            Positions: self._positions,
            GlobalMean: self._global_mean,
            FirstLinear: self._first_linear,
            Linear: self._linear,
            InFull: self._in_full,
        }
        maker = makers.get(type(step))
        return (maker(step) if maker is not None else None) or self._as_chunk(step)

    # ---------------------------------------------------------------- as a chunk of one window

    def _chunk(self, window: Window, reads: list[int]) -> Chunk:
        local = self.plan.changes.of
        values = {
            i: Patches(window.values[i], window.layout(i)) if isinstance(local[i], Local) else window.values[i]
            for i in reads
        }
        return Chunk(self.base, window, values)

    def _as_chunk(self, step: Step) -> Run:
        index, reads = step.index, step.reads
        self.calls_modules = True

        def run(window: Window) -> None:
            value = step.run(self._chunk(window, reads))
            window.values[index] = value.values if isinstance(value, Patches) else value

        return run

    # ---------------------------------------------------------------- layers of windows

    def _reads(self, step: Step) -> list[int]:
        """The nodes whose values the short form of a step reads."""
        if isinstance(step, InFull) and self._reshaped(step.node) is not None:
            return step.node.refs[:1]
        return step.reads

    def _convolution(self, step: ConvolutionStep) -> Run | None:
        if step.conv.index in self.plan.changes.lookups or step.before:
            return None
        return SingleConvolution(step, self.plan.changes, self.base, self.where).run

    def _pooling(self, step: Pooling) -> Run | None:
        node, index, base = step.node, step.index, self.base
        source = node.arguments["input"].index
        settings = settings_of(self.plan.changes, index)
        map, have, want = base.map(source), self.where.place[source], self.where.place[index]
        average = node.kind != "max_pool"
        if settings == [[1, 1], [1, 1], [0, 0], [1, 1]] and have == want and not average:
            return _passing(source, index)
        share = 0.0
        if average:
            shares = step.shares(base, self.plan.changes)
            share = float(shares.flatten()[0])
            if base.dtype != torch.float32 or not (shares == share).all():
                return None
            if share == 1.0 and settings == [[1, 1], [1, 1], [0, 0], [1, 1]]:
                return _passing(source, index) if have == want else None
        pool = kernels.pool_patches.default

        def run(window: Window) -> None:
            tables = window.tables
            values = pool(
                map, window.values[source], tables[have], tables[want], window.areas[want], *settings, average
            )
            window.values[index] = values.mul_(share) if average else values

        return run

    # ---------------------------------------------------------------- position by position

    def _positions(self, step: Positions) -> Run | None:
        node, index = step.node, step.index
        reads = list(dict.fromkeys(step.reads))
        if len(reads) != 1 or len(node.refs) != 1 or self.where.place[reads[0]] != self.where.place[index]:
            return None
        source = reads[0]
        if node.kind == "relu":
            return _mapped(source, index, torch.relu)
        if node.kind == "pointwise":
            return self._pointwise(node, source, index)
        if node.kind == "lrn":
            settings = {name: value for name, value in node.arguments.items() if name != "input"}

            def normalised(x: Tensor) -> Tensor:
                done: Tensor = node.run({"input": x[None].permute(0, 2, 1)[..., None], **settings})
                return done[0, :, :, 0].t()

            return _mapped(source, index, normalised)
        return None

    def _pointwise(self, node: Node, source: int, index: int) -> Run | None:
        function, args, kwargs = (node.arguments[name] for name in ("function", "args", "kwargs"))
        if not args or not isinstance(args[0], Ref):
            return None
        inner = getattr(function, "__wrapped__", function)
        if (ceiling := ceiling_of(node)) is not None:
            return _mapped(source, index, lambda x: x.clamp(0, ceiling))
        if isinstance(inner, nn.Module):
            if self.base.state_of(inner):
                return None
            self.calls_modules = True

        def applied(x: Tensor) -> Tensor:
            done: Tensor = function(x[None].permute(0, 2, 1)[..., None], *args[1:], **kwargs)
            return done.permute(0, 2, 3, 1).reshape(len(x), done.shape[1])  # of no position, too

        return _mapped(source, index, applied)

    # ---------------------------------------------------------------- vectors

    def _global_mean(self, step: GlobalMean) -> Run | None:
        source, index, base = step.node.arguments["input"].index, step.index, self.base
        map, have = base.map(source), self.where.place[source]
        height, width = map.shape[2:]
        if base.dtype != torch.float32 or height * width > _FEW:
            return None
        whole, shape = torch.tensor([[0, 0, 1, 1, 0]]), (1, *base[index].shape[1:])
        settings = [[height, width], [1, 1], [0, 0], [1, 1]]
        pool = kernels.pool_patches.default

        def run(window: Window) -> None:
            sums = pool(map, window.values[source], window.tables[have], whole, 1, *settings, True)
            window.values[index] = sums.div_(height * width).view(shape)

        return run

    def _weights(self, node: Node) -> tuple[Tensor, Tensor | None] | None:
        """A linear layer's tensors, where the CPU's own kernel takes them."""
        own = without_input(node, self.base)
        weight, bias = own["weight"], own["bias"]
        if any(isinstance(x, Tensor) and x.dtype != torch.float32 for x in (weight, bias)):
            return None
        return weight.contiguous(), bias

    def _first_linear(self, step: FirstLinear) -> Run | None:
        (source,), index = step.reads, step.index
        own = self._weights(step.node)
        if own is None or self.base.dtype != torch.float32:
            return None
        weight, bias = own
        map, have = self.base[source].contiguous(), self.where.place[source]
        channels, linear = map.shape[1], kernels.linear_rows.default

        def run(window: Window) -> None:
            top, left, bottom, right, _ = window.numbers[have]
            whole = map.clone()
            patch = window.values[source].view(bottom - top, right - left, channels)
            whole[0, :, top:bottom, left:right] = patch.permute(2, 0, 1)
            window.values[index] = linear(whole.view(1, -1), weight, bias, None, _ONE)

        return run

    def _linear(self, step: Linear) -> Run | None:
        source, own = getattr(step.node.arguments["input"], "index", -1), self._weights(step.node)
        if step.reads != [source] or own is None or self.base.dtype != torch.float32:
            return None
        if self.plan.changes.of[source] is not Whole.DENSE or self.base[source].dim() != 2:
            return None
        return _mapped(source, step.index, lambda x: kernels.linear_rows.default(x, *own, None, _ONE))

    def _reshaped(self, node: Node) -> list[int] | None:
        """The shape of a node that only gives another shape to its first argument; None for others."""
        first, *others = node.refs
        of = self.plan.changes.of
        if (
            node.kind != "reshape"
            or of[first] is not Whole.DENSE
            or any(isinstance(self.base[i], Tensor) for i in others)
        ):
            return None
        return list(self.base[node.index].shape)

    def _in_full(self, step: InFull) -> Run | None:
        node = step.node
        shape = self._reshaped(node)
        if shape is not None:
            return _mapped(node.refs[0], step.index, lambda x: x.reshape(shape))
        source = getattr(node.arguments.get("input"), "index", -1)
        if node.kind not in ("relu", "identity", "softmax") or step.reads != [source]:
            return None
        if self.plan.changes.of[source] is not Whole.DENSE:
            return None
        settings = {name: value for name, value in node.arguments.items() if name != "input"}
        if any(isinstance(value, Ref) for value in settings.values()):
            return None
        return _mapped(source, step.index, lambda x: node.run({"input": x, **settings}))


_ONE = [1, 1]


def _mapped(source: int, index: int, function: Callable[[Tensor], Tensor]) -> Run:
    def run(window: Window) -> None:
        window.values[index] = function(window.values[source])

    return run


def _passing(source: int, index: int) -> Run:
    return _mapped(source, index, lambda x: x)
