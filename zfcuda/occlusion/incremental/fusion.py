"""From the nodes of a network to the steps that run for each chunk, and which nodes one step takes together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.occlusion.incremental.activations import activation_of
from zfcuda.occlusion.incremental.ceilings import ceiling_of
from zfcuda.occlusion.incremental.change_analysis import Changes, Flattened, Local, Whole
from zfcuda.occlusion.incremental.choices import Choice
from zfcuda.occlusion.incremental.concatenation import Concatenation
from zfcuda.occlusion.incremental.convolution import is_pointwise
from zfcuda.occlusion.incremental.outliers import may_arise
from zfcuda.occlusion.incremental.reductions import FirstLinear, GlobalMean, Linear
from zfcuda.occlusion.incremental.steps import Cut, Filling, InFull, Moving, NormWithin, Pooling, Positions, Sizes, Step
from zfcuda.occlusion.incremental.ways import ConvolutionStep


def fuse(nodes: Sequence[Node], changes: Changes, wanted: Iterable[int], base: Mapping[int, Any]) -> list[Step]:
    """Makes the steps, in the order of the nodes.

    wanted: nodes whose values are read from outside, so that they are not swallowed by a fusion. base: the value of
        every node for the whole image, of which the shapes are enough.
    """
    readers = Counter(i for node in nodes for i in node.refs)
    readers.update(wanted)
    following = {i: node for node in nodes for i in node.refs if readers[i] == 1}
    fused: dict[int, ConvolutionStep] = {}  # last node -> its step
    swallowed: set[int] = set()
    outliers = may_arise(nodes, {i for i, change in changes.of.items() if isinstance(change, Local)}, changes.filled)
    by_index = {node.index: node for node in nodes}
    taken: set[int] = set()  # sums that a convolution has taken already: both operands may be convolutions
    for node in nodes:
        if node.kind == "conv" and isinstance(changes.of[node.index], Local):
            step = _convolution(node, following, changes, taken, base)
            step = replace(step, outliers=node.arguments["input"].index in outliers)
            if not is_pointwise(changes, node.index):
                source, around = _unpadded(node, by_index, changes)
                step = replace(step, reads=[source, *step.reads[1:]], around=around)
            elif node.arguments["groups"] == 1:
                before = _before(node, by_index, readers, changes, {*swallowed, *fused})
                if before:
                    step = replace(step, before=before, reads=[before[0].arguments["input"].index, *step.reads[1:]])
                    swallowed.update(each.index for each in before)
            fused[step.index] = step
            if step.index != node.index:
                swallowed.update(_between(node, step, following))
    all_steps = (fused.get(n.index) or _step_of(n, changes) for n in nodes if n.index not in swallowed)
    choices: dict[int, Choice] = {}
    steps: list[Step] = []
    for each in all_steps:
        if isinstance(each, Choice):
            each = choices[each.index] = Choice.of(each.node, each.reads[0], choices)
        if each is not None:
            steps.append(each)
    # Not the padding that convolutions do themselves, nor channels of which others are chosen.
    read = {i for step in steps for i in step.reads}
    read.update(f.source if isinstance(f := changes.of[i], Flattened) else i for i in wanted)
    steps = [step for step in steps if step.index in read or not isinstance(step, Moving | Choice)]
    return [replace(s, alone=_alone(s, steps, changes, wanted)) if isinstance(s, Filling) else s for s in steps]


def _alone(filling: Filling, steps: Sequence[Step], changes: Changes, wanted: Iterable[int]) -> bool:
    """Whether the map that it reads has memory of its own, of which all others have made what they need by then."""
    source = Filling.source(filling.node, changes)
    others = [step for step in steps if source in step.reads and step is not filling]
    own = any(step.index == source and isinstance(step, ConvolutionStep) for step in steps)
    over = all(isinstance(step, GlobalMean) and step.index < filling.index for step in others)
    return own and over and not any(i == source or changes.of[i] == Flattened(source) for i in wanted)


def _step_of(node: Node, changes: Changes) -> Step | None:
    """The step of a node by itself; None for constants, and for what is read through its source."""
    change = changes.of[node.index]
    if change is Whole.CONSTANT or isinstance(change, Flattened) or node.kind == "input":
        return None
    reads = [i for i in node.refs if changes.of[i] is not Whole.CONSTANT]
    reads = [f.source if isinstance(f := changes.of[i], Flattened) else i for i in reads]
    if change is Whole.SIZE:
        return Sizes(node, reads)
    if node.index in changes.reductions:
        return (FirstLinear if node.kind == "linear" else GlobalMean)(node, reads)
    if not isinstance(change, Local):
        return (Linear if node.kind == "linear" else InFull)(node, reads)
    if node.index in changes.filled:
        return Filling(node, reads)
    if node.index in changes.windows:
        return (NormWithin if node.kind == "lrn_within" else Pooling)(node, reads)
    if node.index in changes.lookups:
        return Moving(node, reads[:1])
    if node.index in changes.cuts:
        return Cut(node, reads)
    if node.kind == "channels":
        return Choice(node, reads)
    return (Concatenation if node.kind == "cat" else Positions)(node, reads)


def _before(
    conv: Node, by_index: dict[int, Node], readers: Counter[int], changes: Changes, done: set[int]
) -> tuple[Node, ...]:
    """A batch norm, a ReLU or both, which nobody but this convolution reads. done: nodes that steps compute already."""
    found: list[Node] = []
    index = conv.arguments["input"].index
    for kind in ("relu", "batch_norm"):
        node = by_index.get(index)
        if node is None or node.kind != kind or readers[index] != 1 or index in done:
            continue
        changing = [i for i in node.refs if changes.of[i] is not Whole.CONSTANT]
        if changing == [node.arguments["input"].index] and isinstance(changes.of[changing[0]], Local):
            found.insert(0, node)
            index = changing[0]
    return tuple(found)


def _unpadded(conv: Node, nodes: Mapping[int, Node], changes: Changes) -> tuple[int, tuple[int, int]]:
    """The map that a convolution reads, and how much more it pads (rows, columns).

    Zeros that a step of its own puts around a map need no map of their own.
    """
    source = conv.arguments["input"].index
    lookup = changes.lookups.get(source)
    if lookup is None or lookup.zeros is None or conv.index in changes.lookups:
        return source, (0, 0)
    for side, rows, more in zip(changes.windows[conv.index], (lookup.rows, lookup.columns), lookup.zeros, strict=True):
        # The operators on patches pad little more behind the map than before it.
        padded = int((rows >= 0).sum()) + 2 * (side.padding + more) + max(1, side.stride - 1)
        if side.outputs > (padded - side.reach) // side.stride + 1:
            return source, (0, 0)
    return next(i for i in nodes[source].refs if changes.of[i] is not Whole.CONSTANT), lookup.zeros


def _between(first: Node, step: ConvolutionStep, following: dict[int, Node]) -> Iterable[int]:
    index = first.index
    while index != step.index:
        yield index
        index = following[index].index


def _convolution(
    conv: Node, following: dict[int, Node], changes: Changes, taken: set[int], base: Mapping[int, Any]
) -> ConvolutionStep:
    last, norms, residual, relu, ceiling, activation = conv, [], None, False, None, None
    reads = [conv.arguments["input"].index]
    while (node := following.get(last.index)) is not None and isinstance(changes.of[node.index], Local):
        if node.index in changes.filled:
            break
        if node.kind == "batch_norm" and residual is None:
            norms.append(node)
        elif residual is None and (scaled := _scaled(node, last.index, changes, base)) is not None:
            norms.append(scaled)
        elif node.kind == "add" and residual is None and node.index not in taken:
            other = _other(node, last.index)
            if other is None or changes.of[other] is Whole.CONSTANT or not _same(changes, node.index, conv.index):
                break
            residual = other
            taken.add(node.index)
            reads.append(other)
        elif node.kind == "relu" or (ceiling := ceiling_of(node)) is not None:
            last, relu = node, True
            break
        elif (activation := activation_of(node)) is not None:
            last = node
            break
        else:
            break
        last = node
    return ConvolutionStep(last, reads, conv, tuple(norms), residual, relu, ceiling, activation)


def _scaled(node: Node, index: int, changes: Changes, base: Mapping[int, Any]) -> Node | None:
    """A product of a map with one number, or one for each channel, as one whose input is the map; None: it is none."""
    operands = [node.arguments["input"], node.arguments["other"]] if node.kind == "mul" else []
    if Ref(index) not in operands:
        return None
    factor = operands[1] if operands[0] == Ref(index) else operands[0]
    if isinstance(factor, Ref):
        value = base[factor.index]
        if changes.of[factor.index] is not Whole.CONSTANT or not isinstance(value, Tensor):
            return None
        channels = base[index].shape[1]
        if value.numel() != 1 and value.shape not in ((channels, 1, 1), (1, channels, 1, 1)):
            return None
        if value.dim() and value.dtype != base[index].dtype:  # whose product may have another
            return None
    elif not isinstance(factor, int | float):
        return None
    return replace(node, arguments={"input": Ref(index), "other": factor})


def _other(add: Node, index: int) -> int | None:
    """The other operand of a sum of two maps."""
    operands = [add.arguments["input"], add.arguments["other"]]
    if not all(isinstance(x, Ref) for x in operands) or operands[0] == operands[1]:
        return None
    return next(x.index for x in operands if x.index != index)


def _same(changes: Changes, a: int, b: int) -> bool:
    """Whether the windows change the same rectangles of two maps."""
    first, second = changes.of[a], changes.of[b]
    return (
        isinstance(first, Local)
        and isinstance(second, Local)
        and np.array_equal(first.rows, second.rows)
        and np.array_equal(first.columns, second.columns)
    )
