"""What each node of a network has to keep for a window: patches of its map, a vector, or everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.network import Node, Ref
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.channels_second import OverChannels
from zfcuda.occlusion.incremental.growth import Growth, Side
from zfcuda.occlusion.incremental.lookups import lookup_of
from zfcuda.occlusion.incremental.regions import (
    Intervals,
    Lookup,
    WindowAxis,
    adaptive,
    axes,
    filled,
    looked_up,
    padded,
)
from zfcuda.occlusion.incremental.shuffles import rearranged, still_read


class Whole(Enum):
    """A node that is kept as one value, not in patches."""

    CONSTANT = "the same for every window"
    SIZE = "a size, or what is made of sizes"
    DENSE = "computed in full for every window"


@dataclass(frozen=True)
class Local:
    """A map of which a window changes one rectangle: rows [grid rows,2] times columns [grid columns,2]."""

    rows: Intervals
    columns: Intervals


@dataclass(frozen=True)
class Flattened:
    """The map of a node, one row per image."""

    source: int


Change = Whole | Local | Flattened


@dataclass(frozen=True)
class Changes:
    """What the windows change of the nodes that run, and what has been learnt of the nodes on the way.

    Attributes:
        of: the change of each node.
        windows: the two sides of each node that is a layer of windows.
        lookups: where the values of a node, or those of its padded input, come from.
        cuts: the nodes that run on whole maps, of which again one rectangle has changed.
        filled: the local maps that windows change everywhere, since what meets them there is one number for all places.
        reductions: the nodes that turn a local map into a vector without completing it.
        completed: the names of the nodes for which a map had to be completed.
        sizes: the values, for two images, of the nodes that are sizes. many: for more images than there ever are.
        map_sizes: the nodes that are sizes of local maps, or made of these alone.
        replaced: nodes that end a chain of others, each as a node that reads the chain's beginning.
        growth: of each local map but the input, where its rectangles come from.
    """

    of: dict[int, Change]
    windows: dict[int, tuple[WindowAxis, WindowAxis]]
    lookups: dict[int, Lookup]
    cuts: set[int]
    reductions: set[int]
    completed: list[str]
    sizes: dict[int, Any]
    many: dict[int, Any] = field(default_factory=dict)
    map_sizes: set[int] = field(default_factory=set)
    replaced: dict[int, Node] = field(default_factory=dict)
    growth: dict[int, Growth] = field(default_factory=dict)
    filled: set[int] = field(default_factory=set)

    def grown(self, index: int, growth: Growth) -> Local:
        """What the windows change of a node, and notes where that comes from."""
        self.growth[index] = growth
        sources = {i: change for i in growth.sources if isinstance(change := self.of[i], Local)}
        rows = growth.of_rows({i: change.rows for i, change in sources.items()})
        return Local(rows, growth.of_columns({i: change.columns for i, change in sources.items()}))

    def over(self, input: int, rows: Intervals, columns: Intervals) -> Changes:
        """What other windows change, where each is an interval of rows and one of columns of the node `input`."""
        # Which kind of change a node has depends on no window.
        other = replace(self, of=dict(self.of), growth=dict(self.growth))
        if input in other.of:
            other.of[input] = Local(rows, columns)
        for index, growth in self.growth.items():
            other.of[index] = other.grown(index, growth)
        return other

    def keep(self, nodes: set[int]) -> None:
        """Forgets the other nodes."""
        for index in set(self.of) - nodes:
            del self.of[index]
            self.growth.pop(index, None)


_MANY = 1_000_003
# Position by position: the value at a place depends on the operands at this place alone.
POINTWISE = frozenset(
    ("relu", "lrn", "batch_norm", "identity", "add", "mul", "pointwise", "channels", "softmax", "cat")
)


def sized(
    node: Node, base: Mapping[int, Any], changes: Mapping[int, Change], sizes: Mapping[int, Any], count: int
) -> Any:
    """What a node gives for `count` images as far as shapes go.

    Tensors are stand-ins of the right shape, whose numbers mean nothing. sizes: of the nodes that are sizes, for
    as many images, and tensors that are known, whose first side may be another multiple of the images (the windows of
    an attention, say).
    """

    def value(ref: Any) -> Any:
        if not isinstance(ref, Ref):
            return ref
        known = base[ref.index]
        if changes[ref.index] is Whole.CONSTANT:
            return known
        if not isinstance(known, Tensor) or isinstance(sizes.get(ref.index), Tensor):
            return sizes.get(ref.index, known)
        return torch.empty((), dtype=known.dtype, device=known.device).expand(count, *known.shape[1:])

    return node.run({name: map_nest(argument, value) for name, argument in node.arguments.items()})


def is_pointwise(node: Node) -> bool:
    if node.kind == "other":
        function = node.arguments["function"]
        return function in (F.prelu, torch.prelu) or isinstance(function, nn.PReLU | OverChannels)
    return node.kind in POINTWISE


def classify(
    wanted: Iterable[int], nodes: Sequence[Node], base: Mapping[int, Any], rows: Intervals, columns: Intervals
) -> Changes:
    """Finds the change of every node, in the order in which they run.

    wanted: the nodes that are read at the end. base: the value of every node for the whole image [1,C,H,W].
    rows, columns: what the windows cover of it.
    """
    changes = Changes({}, {}, {}, set(), set(), [], {})
    by_index = {node.index: node for node in nodes}
    for node in nodes:
        change = _change(node, base, changes, rows, columns)
        value = base[node.index]
        is_map = isinstance(value, Tensor) and value.dim() == 4 and len(value) == 1 and value.numel() > 0
        if change is Whole.DENSE and is_map:
            found = rearranged(node, by_index, base, changes.sizes)
            source = None if found is None else changes.of[found.source]
            if found is not None and isinstance(source, Local):
                changes.replaced[node.index] = found.node
                change = changes.grown(node.index, Growth((found.source,), (found.changed,), (found.changed,)))
                if found.block > 1:
                    changes.cuts.add(node.index)
        changes.of[node.index] = change
    for node in still_read(nodes, changes.replaced, wanted):
        change = changes.of[node.index]
        whole = (change is Whole.DENSE and node.index not in changes.reductions) or node.index in changes.filled
        if whole and any(isinstance(changes.of[i], Local | Flattened) for i in node.refs):
            changes.completed.append(node.label)
    return changes


def _change(node: Node, base: Mapping[int, Any], changes: Changes, rows: Intervals, columns: Intervals) -> Change:
    if node.kind == "input":
        return Local(rows, columns)
    value = base[node.index]
    depends = [i for i in node.refs if changes.of[i] is not Whole.CONSTANT]
    if not depends:
        return Whole.CONSTANT
    if node.is_shape_query or all(changes.of[i] is Whole.SIZE for i in depends):
        if isinstance(value, Tensor):
            return Whole.DENSE
        two = changes.sizes[node.index] = sized(node, base, changes.of, changes.sizes, 2)
        many = changes.many[node.index] = sized(node, base, changes.of, changes.many, _MANY)
        # Of the sides of a map only the first counts images: what the others make is the same for any number.
        of_map = node.is_shape_query and isinstance(changes.of[depends[0]], Local)
        if of_map or changes.map_sizes.issuperset(depends):
            changes.map_sizes.add(node.index)
            if value == two == many:
                return Whole.CONSTANT
        return Whole.SIZE
    if isinstance(value, Tensor) and not value.dim():
        raise ValueError(f"{node.label} gives one number for all images of a batch together")
    if not isinstance(value, Tensor) or len(value) != 1:
        return Whole.DENSE
    sources = [changes.of[i] for i in depends]
    if any(isinstance(source, Flattened) for source in sources):
        return _of_flattened(node, depends, changes)
    if node.kind == "reshape" and len(depends) - sources.count(Whole.SIZE) == 1:
        source = next(i for i in depends if changes.of[i] is not Whole.SIZE)
        # Two images tell what one does not: whether the first side stays theirs.
        whole = not isinstance(changes.of[source], Local) or _of_two(node, base, changes) != (2, *value.shape[1:])
        if not whole and list(value.shape) == [1, base[source].numel()]:
            return Flattened(source)
        if not whole and value.shape == base[source].shape:
            changes.lookups[node.index] = Lookup(np.arange(value.shape[2]), np.arange(value.shape[3]))
            return changes.grown(node.index, Growth((source,)))
    if not all(isinstance(source, Local) for source in sources):
        return _of_scales(node, depends, base, changes)
    if _is_global_mean(node, base):
        changes.reductions.add(node.index)
        return Whole.DENSE
    if value.dim() != 4:
        return Whole.DENSE
    if node.kind in ("conv", "max_pool", "avg_pool", "adaptive_avg_pool", "lrn_within"):
        return _of_windows(node, depends, base, changes)
    lookup = lookup_of(node, depends[0], base) if len(depends) == 1 else None
    if lookup is not None:
        changes.lookups[node.index] = lookup
        return changes.grown(node.index, Growth((depends[0],), *_moved(lookup)))
    return _of_positions(node, depends, base, changes)


def _of_two(node: Node, base: Mapping[int, Any], changes: Changes) -> tuple[int, ...]:
    """The shape that a node gives for two images."""
    try:
        return tuple(sized(node, base, changes.of, changes.sizes, 2).shape)
    except RuntimeError:  # it holds for one image alone
        return ()


def _of_flattened(node: Node, depends: list[int], changes: Changes) -> Change:
    source = node.arguments.get("input")
    if len(depends) == 1 and node.kind == "identity":
        return changes.of[depends[0]]
    if len(depends) == 1 and node.kind == "linear" and getattr(source, "index", None) == depends[0]:
        changes.reductions.add(node.index)
    return Whole.DENSE


def _is_global_mean(node: Node, base: Mapping[int, Any]) -> bool:
    if node.kind not in ("mean", "adaptive_avg_pool"):
        return False
    source = base[node.arguments["input"].index]
    if source.dim() != 4:
        return False
    if node.kind == "adaptive_avg_pool":
        return tuple(base[node.index].shape[2:]) == (1, 1) and tuple(source.shape[2:]) != (1, 1)
    dims = node.resolve(base)["dim"]
    return not isinstance(dims, int | None) and sorted(d % 4 for d in dims) == [2, 3]


def _of_windows(node: Node, depends: list[int], base: Mapping[int, Any], changes: Changes) -> Change:
    if depends != [node.arguments["input"].index]:  # a filter that depends on the image
        return Whole.DENSE
    arguments = node.resolve(base)
    rows: tuple[Side, ...] = ()
    columns: tuple[Side, ...] = ()
    inputs, outputs = (tuple(base[i].shape[2:]) for i in (depends[0], node.index))
    lookup = padded(arguments, inputs) if node.kind == "conv" else None
    if lookup is not None:
        changes.lookups[node.index] = lookup
        rows, columns = _moved(lookup)
        inputs = (len(lookup.rows), len(lookup.columns))
    sides = axes(node.kind, arguments, inputs, outputs)
    if sides is None:
        changes.cuts.add(node.index)
        last: list[Side] = [partial(adaptive, n, m) for n, m in zip(inputs, outputs, strict=True)]
    else:
        changes.windows[node.index] = sides
        last = [side.changed for side in sides]
    return changes.grown(node.index, Growth((depends[0],), (*rows, last[0]), (*columns, last[1])))


def _moved(lookup: Lookup) -> tuple[tuple[Side, ...], tuple[Side, ...]]:
    return (partial(looked_up, lookup.rows),), (partial(looked_up, lookup.columns),)


def _of_scales(node: Node, depends: list[int], base: Mapping[int, Any], changes: Changes) -> Change:
    """Of maps that meet one number for all places of a channel, as in squeeze-and-excite: the whole map changes.

    On a CPU, whose kernels for patches take whole maps as well as torch's do.
    """
    if base[node.index].device.type != "cpu":
        return Whole.DENSE
    shape = base[node.index].shape
    maps = [i for i in depends if isinstance(changes.of[i], Local)]
    others = [i for i in depends if i not in maps]
    operands = node.arguments.values()
    if (
        node.kind not in ("add", "mul")
        or not maps
        or not all(isinstance(x, Ref) and x.index in depends for x in operands)
    ):
        return Whole.DENSE
    if any(base[i].shape != shape for i in maps) or any(changes.of[i] is not Whole.DENSE for i in others):
        return Whole.DENSE
    numbers = [tuple(base[i].shape) if isinstance(base[i], Tensor) else () for i in others]
    if len(shape) != 4 or any(number not in ((1, shape[1], 1, 1), (1, 1, 1, 1)) for number in numbers):
        return Whole.DENSE
    changes.filled.add(node.index)
    return changes.grown(node.index, Growth(tuple(maps), (partial(filled, shape[2]),), (partial(filled, shape[3]),)))


def _of_positions(node: Node, depends: list[int], base: Mapping[int, Any], changes: Changes) -> Change:
    shape = base[node.index].shape
    over_channels = node.kind == "mean" and node.resolve(base)["dim"] in (1, -3, [1], [-3], (1,), (-3,))
    if not (is_pointwise(node) or over_channels) or any(
        base[i].dim() != 4 or base[i].shape[2:] != shape[2:] for i in depends
    ):
        return Whole.DENSE
    if node.kind in ("cat", "softmax") and node.resolve(base)["dim"] not in (1, -3):
        return Whole.DENSE
    constants = [base[i] for i in node.refs if changes.of[i] is Whole.CONSTANT]
    if any(isinstance(c, Tensor) and (c.dim() > 4 or (c.dim() == 4 and len(c) > 1)) for c in constants):
        return Whole.DENSE
    return changes.grown(node.index, Growth(tuple(dict.fromkeys(depends))))
