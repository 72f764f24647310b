"""Stages, ReLU -> max pooling -> local response normalisation, each computed and walked back in one go.

The maps between them are the largest of a network: they are never made, where nothing else reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from zfcuda import ops
from zfcuda.backward import normalisation
from zfcuda.backward.way import UnsupportedError, Way, WayBack, per_image, same
from zfcuda.network import Node, Ref, kinds
from zfcuda.ops.stage import relu_max_pool2d_lrn_with_pooled
from zfcuda.ops.unpool import max_unpool2d_gated


@dataclass(frozen=True)
class Stage:
    """The nodes of one: a ReLU, the max pooling that alone reads it, and the normalisation that alone reads that."""

    relu: Node
    pool: Node
    norm: Node | None

    @property
    def last(self) -> Node:
        return self.norm or self.pool

    @property
    def input(self) -> int:
        """The node that it reads."""
        return self.relu.refs[0]


def stages(nodes: Sequence[Node], sees: set[int], output: int) -> list[Stage]:
    """Finds them among the nodes up to an output, of those that see the image."""
    readers = Counter(i for node in nodes for i in node.refs)
    by_index = {node.index: node for node in nodes}
    norms = {node.refs[0]: node for node in nodes if node.kind == "lrn" and len(node.refs) == 1}

    def is_between(node: Node) -> bool:
        return readers[node.index] == 1 and node.index != output

    found = []
    for pool in nodes:
        if (
            pool.kind != "max_pool"
            or len(pool.refs) != 1
            or pool.index not in sees
            or not _has_switches(pool.arguments)
        ):
            continue
        relu = by_index[pool.refs[0]]
        if relu.kind == "relu" and len(relu.refs) == 1 and is_between(relu):
            found.append(Stage(relu, pool, norms.get(pool.index) if is_between(pool) else None))
    return found


def _has_switches(arguments: Mapping[str, Any]) -> bool:
    """Whether the windows of a max pooling are of a form that the operators take."""
    kernel = kinds.pair(arguments["kernel_size"])
    return kinds.pair(arguments["dilation"]) == (1, 1) and kernel[0] * kernel[1] <= 256


def node_of(stage: Stage) -> Node:
    """What takes the place of its nodes; messages call it by its pooling."""
    return Node(stage.last.index, "stage", {"input": Ref(stage.input)}, stage.pool.label)


def way(stage: Stage, relu: str, lrn: str) -> Way:
    """The way through a stage; relu, lrn: as in Rules."""
    return Way([stage.input], lambda values: _run(stage, values[stage.input], relu, lrn))


def _run(stage: Stage, input: Tensor, relu: str, lrn: str) -> tuple[Tensor, WayBack]:
    if input.ndim != 4:
        raise UnsupportedError(f"pooling of {input.ndim} dimensions")
    pool = stage.pool.arguments
    window = kinds.pair(pool["kernel_size"]), kinds.window_stride(pool), kinds.pair(pool["padding"])
    ceil_mode, size = bool(pool["ceil_mode"]), input.shape[2:]
    before_norm: Callable[[Tensor], Sequence[Tensor]] = same
    if stage.norm is None:
        output, switches = ops.max_pool2d_with_switches(input, *window, ceil_mode, relu=True)
        pooled = output
    else:
        settings = {name: stage.norm.arguments[name] for name in ("size", "alpha", "beta", "k")}
        output, switches, pooled = relu_max_pool2d_lrn_with_pooled(input, *window, ceil_mode, **settings)
        before_norm = normalisation.back_across_channels(pooled, settings, lrn)
    unpooled = partial(_unpooled, switches, pooled, window, size, relu)
    return output, lambda signal: [unpooled(before_norm(signal)[0])]


def _unpooled(
    switches: Tensor, pooled: Tensor, window: tuple[Any, Any, Any], size: Sequence[int], relu: str, signal: Tensor
) -> Tensor:
    """Returns a signal to where the maxima were, and through the ReLU.

    All windows that point at one pixel have its value for their maximum: where that is not positive no pooled one is,
    and the ReLU's derivative is the gate.
    """
    repeated = switches.expand_as(signal).flatten(0, 1)
    if relu == "deconvnet":
        whole = per_image(signal, lambda s: ops.max_unpool2d(s, repeated, *window, output_size=size))
        return F.relu_(whole)
    gate = pooled.expand_as(signal).flatten(0, 1)
    whole = per_image(signal, lambda s: max_unpool2d_gated(s, repeated, gate, *window, output_size=size))
    return whole if relu == "gradient" else F.relu_(whole)
