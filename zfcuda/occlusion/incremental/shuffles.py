"""Channels that are put in another order by hand: `x.view(n, g, c // g, h, w).transpose(1, 2).reshape(n, c, h, w)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.network.calls import name_of
from zfcuda.network.graph import map_nest

_MOVES = frozenset(("transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis"))


def as_channels(
    node: Node, nodes: Mapping[int, Node], base: Mapping[int, Any], sizes: Mapping[int, Any]
) -> Node | None:
    """What a reshape is that ends such a chain: the same node as one that takes channels; None: it is none.

    base: values for the whole image, of which the shapes are enough. sizes: for two images, of the nodes that are
        sizes.
    """
    value = base[node.index]
    chain = [node]
    while True:
        source = _source(chain[-1])
        if source is None:
            return None
        before, known = nodes.get(source), base[source]
        if before is None or not isinstance(known, Tensor):
            return None
        if known.shape == value.shape:
            break
        chain.append(before)
    channels, places = known.shape[1], known.shape[2:].numel()
    numbers = torch.arange(2 * known.numel(), dtype=torch.int64).view(2, *known.shape[1:])
    result: Any = numbers
    for link in reversed(chain):
        result = _run(link, source, result, base, sizes)
        source = link.index
        if result is None:
            return None
    order = result[0, :, 0, 0] // places if result.shape == numbers.shape else None
    if order is None or not torch.equal(result, numbers[:, order.clamp(max=channels - 1)]):
        return None
    return Node(node.index, "channels", {"input": Ref(_source(chain[-1]) or 0), "index": order.tolist()}, node.label)


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
    """The operand of a step that only changes the shape or the order of dimensions."""
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
