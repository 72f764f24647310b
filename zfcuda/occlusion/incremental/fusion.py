"""From the nodes of a network to the steps that run for each chunk: which are fused, and when a value is let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from zfcuda.network import Node, Ref
from zfcuda.occlusion.incremental.change_analysis import Forms, Local, Whole
from zfcuda.occlusion.incremental.steps import Convolution, Step, step_of


def lower(nodes: Sequence[Node], forms: Forms, wanted: Iterable[int]) -> list[Step]:
    """wanted: nodes whose values are read from outside, so that they are not swallowed by a fusion."""
    readers = Counter(i for node in nodes for i in node.refs)
    readers.update(wanted)
    following = {i: node for node in nodes for i in node.refs if readers[i] == 1}
    fused: dict[int, Convolution] = {}  # last node -> its step
    swallowed: set[int] = set()
    taken: set[int] = set()  # sums that a convolution has taken already: both operands may be convolutions
    for node in nodes:
        if node.kind == "conv" and isinstance(forms.of[node.index], Local):
            step = _fuse(node, following, forms, taken)
            fused[step.index] = step
            if step.index != node.index:
                swallowed.update(_between(node, step, following))
    all_steps = (fused.get(n.index) or step_of(n, forms) for n in nodes if n.index not in swallowed)
    return [step for step in all_steps if step is not None]


def _between(first: Node, step: Convolution, following: dict[int, Node]) -> Iterable[int]:
    index = first.index
    while index != step.index:
        yield index
        index = following[index].index


def _fuse(conv: Node, following: dict[int, Node], forms: Forms, taken: set[int]) -> Convolution:
    last, norms, residual, relu = conv, [], None, False
    reads = [conv.arguments["input"].index]
    while (node := following.get(last.index)) is not None and isinstance(forms.of[node.index], Local):
        if node.kind == "batch_norm" and residual is None:
            norms.append(node)
        elif node.kind == "add" and residual is None and node.index not in taken:
            other = _other(node, last.index)
            if other is None or forms.of[other] is Whole.CONSTANT or not _same(forms, node.index, conv.index):
                break
            residual = other
            taken.add(node.index)
            reads.append(other)
        elif node.kind == "relu":
            last, relu = node, True
            break
        else:
            break
        last = node
    return Convolution(last, reads, conv, tuple(norms), residual, relu)


def _other(add: Node, index: int) -> int | None:
    """The other operand of a sum of two maps."""
    operands = [add.arguments["input"], add.arguments["other"]]
    if not all(isinstance(x, Ref) for x in operands) or operands[0] == operands[1]:
        return None
    return next(x.index for x in operands if x.index != index)


def _same(forms: Forms, a: int, b: int) -> bool:
    """Whether the windows change the same rectangles of two maps."""
    first, second = forms.of[a], forms.of[b]
    return (
        isinstance(first, Local)
        and isinstance(second, Local)
        and np.array_equal(first.rows, second.rows)
        and np.array_equal(first.columns, second.columns)
    )
