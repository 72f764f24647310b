"""Chains of steps that only move values: channels in another order by hand, and places that become channels.

`x.view(n, g, c // g, h, w).transpose(1, 2).reshape(n, c, h, w)` is ShuffleNet's; TResNet takes each four by four places
for channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.network.calls import name_of
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.regions import Intervals, tidy

_MOVES = frozenset(
    ("transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "pixel_unshuffle", "PixelUnshuffle")
)


@dataclass(frozen=True)
class Rearranged:
    """What the end of such a chain is.

    node: the same node as one that reads the beginning of the chain. block: places of a side that become one.
    """

    node: Node
    block: int

    @property
    def source(self) -> int:
        return self.node.refs[0]

    def changed(self, intervals: Intervals) -> Intervals:
        """The places that show any of the source's [low, high)."""
        return tidy(np.stack([intervals[:, 0] // self.block, -(-intervals[:, 1] // self.block)], 1), intervals)


def rearranged(
    node: Node, nodes: Mapping[int, Node], base: Mapping[int, Any], sizes: Mapping[int, Any]
) -> Rearranged | None:
    """What a node is that ends such a chain; None: it ends none.

    base: values for the whole image, of which the shapes are enough. sizes: for two images, of the nodes that are
        sizes.
    """
    value = base[node.index]
    chain = [node]
    while True:
        source = _source(chain[-1])
        before = None if source is None else nodes.get(source)
        if before is None or not isinstance(base[before.index], Tensor):
            return None
        shape = base[before.index].shape
        if len(shape) == 4 and shape[0] == 1 and shape[2] % value.shape[2] == 0 and value.shape[1] % shape[1] == 0:
            break
        chain.append(before)
    block = shape[2] // value.shape[2]
    numbers = torch.arange(2 * shape.numel(), dtype=torch.int64).view(2, *shape[1:])
    result: Any = numbers
    for link in reversed(chain):
        result = _run(link, before.index, result, base, sizes)
        before = link
        if result is None:
            return None
    if result.shape != (2, *value.shape[1:]) or value.numel() != shape.numel():
        return None
    source = _source(chain[-1])
    assert source is not None
    if block == 1:
        order = result[0, :, 0, 0] // shape[2:].numel()
        if not (order < shape[1]).all() or not torch.equal(result, numbers[:, order]):
            return None
        arguments = {"input": Ref(source), "index": order.tolist()}
        return Rearranged(Node(node.index, "channels", arguments, node.label), 1)
    places = result[0].flatten()
    moves = torch.equal(result[1].flatten(), places + shape.numel()) and bool((places < shape.numel()).all())
    y, x = result[0] // shape[3] % shape[2], result[0] % shape[3]
    rows, columns = torch.arange(value.shape[2])[:, None], torch.arange(value.shape[3])
    if not moves or not ((y // block == rows) & (x // block == columns)).all():
        return None
    arguments = {"function": partial(_taken, places, value.shape[1:]), "args": (Ref(source),), "kwargs": {}}
    return Rearranged(Node(node.index, "other", arguments, node.label), block)


def _taken(places: Tensor, shape: torch.Size, x: Tensor) -> Tensor:
    return x.flatten(1)[:, places.to(x.device)].view(len(x), *shape)


def still_read(nodes: Sequence[Node], replaced: Mapping[int, Node], wanted: Iterable[int]) -> list[Node]:
    """The nodes with some replaced, without those that are then read by none."""
    needed = set(wanted)
    kept = []
    for node in reversed(nodes):
        if node.index in needed:
            node = replaced.get(node.index, node)
            needed.update(node.refs)
            kept.append(node)
    return kept[::-1]


def _source(node: Node) -> int | None:
    """The operand of a step that only changes the shape or the order of values."""
    if node.kind == "identity":
        operand = node.arguments["input"]
    elif node.kind == "reshape" or (node.kind == "other" and name_of(node.arguments["function"]) in _MOVES):
        operand = node.arguments["args"][0] if node.arguments["args"] else None
    else:
        return None
    return operand.index if isinstance(operand, Ref) else None


def _run(node: Node, source: int, numbers: Tensor, base: Mapping[int, Any], sizes: Mapping[int, Any]) -> Tensor | None:
    """What a step makes of these numbers, two images of them."""

    def value(x: Any) -> Any:
        if not isinstance(x, Ref):
            return x
        return numbers if x.index == source else sizes.get(x.index, base[x.index])

    try:
        result = node.run({name: map_nest(argument, value) for name, argument in node.arguments.items()})
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    return result if isinstance(result, Tensor) else None
