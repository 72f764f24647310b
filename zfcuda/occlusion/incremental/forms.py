"""What each node of a network has to keep for a window: patches of its map, a vector, or everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from zfcuda.network import Network, Node
from zfcuda.network.regions import Axis, Intervals, axes, union


class Whole(Enum):
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
    """The map of a node, one row per picture."""

    source: int


Form = Whole | Local | Flattened


@dataclass(frozen=True)
class Forms:
    """of: node -> form, for the nodes that run. windows: node -> its two sides, where it is a layer of windows.
    reductions: the nodes that turn a local map into a vector without completing it. completed: where a map had to be
    completed, and why.
    """

    of: dict[int, Form]
    windows: dict[int, tuple[Axis, Axis]]
    reductions: set[int]
    completed: list[str]


# Position by position: the value at a place depends on the operands at this place alone.
POINTWISE = frozenset(
    ("relu", "lrn", "batch_norm", "identity", "add", "mul", "pointwise", "channels", "softmax", "cat")
)


def classify(
    network: Network, nodes: Sequence[Node], base: Mapping[int, Any], rows: Intervals, columns: Intervals
) -> Forms:
    """base: the value of every node for the whole picture [1,C,H,W]. rows, columns: what the windows cover of it."""
    forms = Forms({}, {}, set(), [])
    for node in nodes:
        form = _form(node, base, forms, rows, columns)
        forms.of[node.index] = form
        whole = form is Whole.DENSE and node.index not in forms.reductions
        if whole and any(isinstance(forms.of[i], Local | Flattened) for i in node.refs):
            forms.completed.append(node.label)
    return forms


def _form(node: Node, base: Mapping[int, Any], forms: Forms, rows: Intervals, columns: Intervals) -> Form:
    if node.kind == "input":
        return Local(rows, columns)
    value = base[node.index]
    depends = [i for i in node.refs if forms.of[i] is not Whole.CONSTANT]
    if not depends:
        return Whole.CONSTANT
    if node.is_shape_query or all(forms.of[i] is Whole.SIZE for i in depends):
        return Whole.DENSE if isinstance(value, Tensor) else Whole.SIZE
    if not isinstance(value, Tensor) or len(value) != 1:
        return Whole.DENSE
    sources = [forms.of[i] for i in depends]
    if any(isinstance(source, Flattened) for source in sources):
        return _of_flattened(node, depends, forms)
    if node.kind == "reshape" and len(depends) - sources.count(Whole.SIZE) == 1:
        source = next(i for i in depends if forms.of[i] is not Whole.SIZE)
        if isinstance(forms.of[source], Local) and list(value.shape) == [1, base[source].numel()]:
            return Flattened(source)
    if not all(isinstance(source, Local) for source in sources):
        return Whole.DENSE
    if _is_global_mean(node, base):
        forms.reductions.add(node.index)
        return Whole.DENSE
    if value.dim() != 4:
        return Whole.DENSE
    if node.kind in ("conv", "max_pool", "avg_pool", "adaptive_avg_pool"):
        return _of_windows(node, depends, base, forms)
    return _of_positions(node, depends, base, forms)


def _of_flattened(node: Node, depends: list[int], forms: Forms) -> Form:
    source = node.arguments.get("input")
    if len(depends) == 1 and node.kind == "identity":
        return forms.of[depends[0]]
    if len(depends) == 1 and node.kind == "linear" and getattr(source, "index", None) == depends[0]:
        forms.reductions.add(node.index)
    return Whole.DENSE


def _is_global_mean(node: Node, base: Mapping[int, Any]) -> bool:
    if node.kind not in ("mean", "adaptive_avg_pool"):
        return False
    source = base[node.arguments["input"].index]
    if source.dim() != 4:
        return False
    if node.kind == "adaptive_avg_pool":
        return tuple(base[node.index].shape[2:]) == (1, 1) and tuple(source.shape[2:]) != (1, 1)
    dims = node.arguments["dim"]
    return not isinstance(dims, int | None) and sorted(d % 4 for d in dims) == [2, 3]


def _of_windows(node: Node, depends: list[int], base: Mapping[int, Any], forms: Forms) -> Form:
    if depends != [node.arguments["input"].index]:  # a filter that depends on the picture
        return Whole.DENSE
    arguments = node.resolve(base)
    source = forms.of[depends[0]]
    inputs, outputs = (tuple(base[i].shape[2:]) for i in (depends[0], node.index))
    sides = axes(node.kind, arguments, inputs, outputs)
    if sides is None or not isinstance(source, Local):
        return Whole.DENSE
    forms.windows[node.index] = sides
    return Local(sides[0].changed(source.rows), sides[1].changed(source.columns))


def _of_positions(node: Node, depends: list[int], base: Mapping[int, Any], forms: Forms) -> Form:
    shape = base[node.index].shape
    if node.kind not in POINTWISE or any(base[i].dim() != 4 or base[i].shape[2:] != shape[2:] for i in depends):
        return Whole.DENSE
    if node.kind in ("cat", "softmax") and node.arguments["dim"] not in (1, -3):
        return Whole.DENSE
    constants = [base[i] for i in node.refs if forms.of[i] is Whole.CONSTANT]
    if any(isinstance(c, Tensor) and (c.dim() > 4 or (c.dim() == 4 and len(c) > 1)) for c in constants):
        return Whole.DENSE
    sources = [forms.of[i] for i in depends]
    rows, columns = sources[0].rows, sources[0].columns  # type: ignore[union-attr]
    for other in sources[1:]:
        rows, columns = union(rows, other.rows), union(columns, other.columns)  # type: ignore[union-attr]
    return Local(rows, columns)
