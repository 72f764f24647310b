"""Maps that a model lays out with their channels last, [N,H,W,C], followed as [N,C,H,W] like all others.

ConvNeXt permutes the map of each block, so that layer norm and linear layers find its channels where they want them,
and back. With channels second that is a norm position by position, and convolutions of 1x1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from zfcuda.network import Network, Node, Ref
from zfcuda.network.calls import torchs
from zfcuda.network.graph import map_nest

_TO_LAST, _TO_SECOND = (0, 2, 3, 1), (0, 3, 1, 2)
_NORMS = ("layer_norm", "rms_norm")


class OverChannels(nn.Module):
    """What works along the last side of a map, along the channels of [N,C,H,W] instead: position by position.

    It is a module, so that the tensors of one that it stands for are found.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.function(input.movedim(1, -1), *args, **kwargs).movedim(-1, 1)


@dataclass
class _Part:
    """Nodes that hang together by maps with channels last, and by constants that have to be seen with more sides.

    second: each of them with channels second. begins, ends: the permutations, and what each permutes; only the first
        are of the nodes. views: the constants, by how many sides of 1 they then need, none included.
    """

    second: dict[int, Node] = field(default_factory=dict)
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    views: dict[int, set[int]] = field(default_factory=dict)

    def join(self, other: _Part) -> None:
        self.second |= other.second
        self.begins |= other.begins
        self.ends |= other.ends
        for index, sides in other.views.items():
            self.views.setdefault(index, set()).update(sides)

    def is_closed(self, readers: Mapping[int, set[int]]) -> bool:
        """Whether nobody else reads its maps, nor the constants that have other sides there."""
        inside = {*self.second, *self.ends}
        changed = [index for index, sides in self.views.items() if sides != {0}]
        read = all(readers.get(index, set()) <= inside for index in (*self.second, *changed))
        return read and all(len(sides) == 1 for sides in self.views.values())


def with_channels_second(network: Network, wanted: Iterable[int]) -> Network:
    """The same network, whose parts between two such permutations work on [N,C,H,W].

    A part that does anything else with its maps stays as it is, and so does one with a wanted node.
    """
    wanted = set(wanted)
    nodes = network.ancestors(wanted)
    readers: dict[int, set[int]] = {}
    for node in nodes:
        for index in node.refs:
            readers.setdefault(index, set()).add(node.index)
    renamed: dict[int, int] = {}
    replaced: dict[int, Node] = {}
    for part in _parts(nodes, network):
        if wanted.isdisjoint(part.second) and part.is_closed(readers):
            replaced |= part.second
            replaced |= {i: _with_sides(network.nodes[i], *sides) for i, sides in part.views.items()}
            renamed |= part.begins | part.ends

    def read(x: Any) -> Any:
        if not isinstance(x, Ref):
            return x
        index = x.index
        while index in renamed:
            index = renamed[index]
        return Ref(index)

    def here(node: Node) -> Node:
        if node.index in wanted and node.index in renamed:
            return Node(node.index, "identity", {"input": read(Ref(node.index))}, node.label)
        node = replaced.get(node.index, node)
        if renamed.keys().isdisjoint(node.refs):
            return node
        return replace(node, arguments=map_nest(dict(node.arguments), read))

    return replace(network, nodes=tuple(map(here, network.nodes))) if renamed else network


def _parts(nodes: Iterable[Node], network: Network) -> list[_Part]:
    """All such parts, whoever reads them."""
    part_of: dict[int, _Part] = {}
    viewed_by: dict[int, _Part] = {}
    for node in nodes:
        operands = [i for i in node.refs if i in part_of]
        back, there = _permuted(node, _TO_SECOND), _permuted(node, _TO_LAST)
        if back in part_of:
            part_of[back].ends[node.index] = back
            continue
        if there is not None and not operands:
            part = _Part({node.index: node}, {node.index: there})
        elif operands and (found := _second(node, operands, network)) is not None:
            part = _Part({node.index: found[0]}, views=found[1])
        else:
            continue
        tied = [*(part_of[i] for i in operands), *(viewed_by[i] for i in part.views if i in viewed_by)]
        for other in {id(other): other for other in tied}.values():
            part.join(other)
        part_of.update(dict.fromkeys(part.second, part))
        viewed_by.update(dict.fromkeys(part.views, part))
    return list({id(part): part for part in part_of.values()}.values())


def _permuted(node: Node, order: tuple[int, ...]) -> int | None:
    """The node whose sides this one puts into that order; None: it does not."""
    if node.kind != "other" or torchs(node.arguments["function"])[0] != "permute" or node.arguments["kwargs"]:
        return None
    source, *given = node.arguments["args"]
    given = given[0] if len(given) == 1 else given
    if not isinstance(source, Ref) or not isinstance(given, list | tuple) or len(given) != len(order):
        return None
    numbers = tuple(d % len(order) if type(d) is int else None for d in given)
    return source.index if numbers == order else None


def _second(node: Node, operands: list[int], network: Network) -> tuple[Node, dict[int, set[int]]] | None:
    """A node that reads maps with channels last, as one that reads them with channels second, and what it needs of the
    constants beside them: of how many sides of 1 more. None: it cannot be.
    """
    arguments = node.arguments
    others = [i for i in node.refs if i not in operands]
    if any(network.nodes[i].kind != "constant" for i in others):
        return None
    as_they_are = {i: {0} for i in others}
    if node.kind == "linear" and operands == [getattr(arguments["input"], "index", None)]:
        weight = arguments["weight"].index
        settings = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
        return Node(node.index, "conv", {**arguments, **settings}, node.label), as_they_are | {weight: {2}}
    if node.kind in ("relu", "identity") or (node.kind == "pointwise" and not others):
        return node, {}
    if node.kind in ("add", "mul"):
        sides = {i: network.nodes[i].run(network.nodes[i].arguments).dim() for i in others}
        return (node, {i: {2 * sides[i]} for i in others}) if max(sides.values(), default=0) < 2 else None
    if node.kind == "other" and len(operands) == 1 and _is_norm(arguments, operands[0]):
        return replace(node, arguments={**arguments, "function": OverChannels(arguments["function"])}), as_they_are
    return None


def _is_norm(arguments: Mapping[str, Any], operand: int) -> bool:
    """Whether a call normalises each row of the last side alone."""
    function, args = arguments["function"], arguments["args"]
    if not args or not isinstance(args[0], Ref) or args[0].index != operand:
        return False
    if isinstance(function, nn.LayerNorm | nn.RMSNorm):
        return len(function.normalized_shape) == 1
    shape = args[1] if len(args) > 1 else arguments["kwargs"].get("normalized_shape")
    return torchs(function)[0] in _NORMS and isinstance(shape, list | tuple) and len(shape) == 1


def _with_sides(constant: Node, count: int) -> Node:
    """A tensor of the model with so many sides of 1 behind its own."""
    return replace(constant, arguments={"function": partial(_read, constant.arguments["function"], count)})


def _read(function: Callable[[], Tensor], count: int) -> Tensor:
    value = function()
    return value.view(*value.shape, *[1] * count)
