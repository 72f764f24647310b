"""Receptive fields: which pixels of the image a unit of a layer can see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zfcuda.network.calls import is_of_shape
from zfcuda.network.example import example_image
from zfcuda.network.field_axis import FieldAxis, pixels
from zfcuda.network.field_rules import (
    COLUMNS,
    ROWS,
    Seen,
    Step,
    UnfollowedError,
    everywhere_the_same,
    name_of,
    of_image,
    rule_of,
)
from zfcuda.network.graph import Network, Node
from zfcuda.network.intact import evaluating
from zfcuda.network.trace import trace


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see.

    size, stride: (rows, columns) in pixels, of a unit away from the border; for a vector that of all its units
        together, which is the stride as well, as it is where all units see the same part. The size is 0 where the image
        changes nothing. The stride behind upsampling may be a fraction.
    """

    size: tuple[int, int]
    stride: tuple[float, float]
    spans: tuple[FieldAxis, FieldAxis]

    def rectangle(self, y: int = 0, x: int = 0) -> tuple[int, int, int, int]:
        """What unit (y, x) sees: (top, left, bottom, right), clipped to the image, bottom and right exclusive.

        A unit that lies in the padding sees nothing; it is given the pixel at the border beside it.

        Raises:
            ValueError: there is no such position.
        """
        rows, columns = self.spans
        if not (0 <= y < len(rows) and 0 <= x < len(columns)):
            raise ValueError(f"position: expected one in a map of {len(rows)} x {len(columns)}, got ({y}, {x})")
        (top, bottom), (left, right) = _inclusive(rows, y), _inclusive(columns, x)
        return top, left, bottom + 1, right + 1


def _inclusive(axis: FieldAxis, unit: int) -> tuple[int, int]:
    first, last = int(axis.first[unit]), int(axis.last[unit])
    if first <= last:
        return first, last
    seen = axis.first <= axis.last
    border = int(np.clip(axis.low[unit], axis.first[seen].min(), axis.last[seen].max())) if seen.any() else 0
    return border, border


def receptive_field(model: nn.Module | Network, layer: str, input_size: Sequence[int]) -> ReceptiveField | None:
    """The receptive field of a layer's units; None: it is not known, for something before cannot be followed.

    Args:
        model: a CNN, or its Network where several questions are asked.
        layer: the dotted name of a submodule.
        input_size: (H, W) of the image, or (C, H, W) where the first convolution does not tell C.

    Raises:
        ValueError: naming the argument: an unknown layer (the others are listed), one that does not depend on the
            image, or an input_size that does not fit.
    """
    network = trace(model)
    node = network.node(layer)
    field = _fields(network, {node.index}, input_size)[node.index]
    if field is not None and field.size == (0, 0):
        raise ValueError("layer: its output does not depend on the picture")
    return field


def receptive_fields(
    model: nn.Module | Network, input_size: Sequence[int], layers: Iterable[str] | None = None
) -> dict[str, ReceptiveField | None]:
    """The receptive field of every layer that computes a tensor, by name, in forward order; None: it is not known.

    Args:
        model, input_size: those of :func:`receptive_field`.
        layers: these alone; what lies behind them is not run.

    Raises:
        ValueError: as there.
    """
    network = trace(model)
    nodes = {name: network.node(name).index for name in layers} if layers is not None else network.names
    fields = _fields(network, set(nodes.values()), input_size)
    return {name: fields[index] for name, index in nodes.items() if name}


def receptive_fields_of_calls(
    model: nn.Module | Network, input_size: Sequence[int]
) -> dict[str, list[ReceptiveField | None]]:
    """The same for every call of every layer: of one that is called twice, and of the model itself, "".

    The arguments are those of :func:`receptive_field`.
    """
    network = trace(model)
    fields = _fields(network, {index for _, index in network.calls if index is not None}, input_size)
    found: dict[str, list[ReceptiveField | None]] = {}
    for name, index in network.calls:
        found.setdefault(name, []).append(None if index is None else fields[index])
    return found


# ---------------------------------------------------------------- a run on an empty image


def _fields(network: Network, wanted: Iterable[int], input_size: Sequence[int]) -> dict[int, ReceptiveField | None]:
    """The fields of the wanted nodes."""
    size = tuple(input_size)
    if len(size) not in (2, 3, 4) or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"input_size: expected (H, W) or (C, H, W), got {input_size!r}")
    shape = (size[-3] if len(size) > 2 else _channels(network), size[-2], size[-1])
    network.check(shape, "input_size")
    image = example_image(network.model, shape)
    wanted = set(wanted)
    values: dict[int, Any] = {}
    fields: dict[int, ReceptiveField | None] = {}
    following = _Following(pixels(size[-2]), pixels(size[-1]))
    # The shapes come from a run on an empty image: whatever the model does to them is then right. (The device "meta"
    # would spare the arithmetic, but costs seconds of imports, and fails where a model looks at values.)
    with torch.inference_mode(False), torch.no_grad(), evaluating(network.model):
        for node in network.ancestors(wanted):
            try:
                if node.kind == "input":
                    values[node.index] = image
                    following.look(node, image)
                else:
                    values[node.index] = following.run(node, values)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"input_size: {shape} does not fit {node.label}: {reason}") from error
            if node.index in wanted:
                fields[node.index] = _field(values[node.index], following.kept[node.index])
    return fields


def _channels(network: Network) -> int:
    """How many channels the first convolution takes."""
    for node in network.nodes:
        if node.kind == "conv":
            weight = network.nodes[node.arguments["weight"].index]
            if weight.kind == "constant":
                return int(weight.run(weight.arguments).shape[1]) * int(node.arguments["groups"])
    return 3


# Operators of which only the shape of an argument counts.
_OF_SHAPES = re.compile(r"new_\w+|(empty|full|ones|rand|randn|zeros)_like")


class _Following(TorchDispatchMode):
    """Follows what every tensor sees through the operators that a node consists of.

    A tensor that is not written down sees nothing; None is written where it is not known what it sees.
    """

    def __init__(self, rows: FieldAxis, columns: FieldAxis) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.kept: dict[int, list[tuple[Tensor, Seen | None]]] = {}  # the tensors that are the value of a node
        self.lost: set[int] = set()  # nodes that are numbers made of pixels, which nobody can follow further
        # Within one node: by id, with the number of the operator that made it; and memory that was overwritten.
        self.known: dict[int, tuple[Tensor, Seen | None, int]] = {}
        self.written: dict[int, tuple[torch.UntypedStorage, int]] = {}
        self.time = 0

    def look(self, node: Node, image: Tensor) -> None:
        """Writes down what the image itself sees."""
        self.kept[node.index] = [(image, of_image(image.shape, self.rows, self.columns))]

    def run(self, node: Node, values: dict[int, Any]) -> Any:
        """The value of a node, whose tensors are written down."""
        self.known = {id(x): (x, seen, 0) for i in node.refs for x, seen in self.kept[i]}
        self.written = {}
        lost = not self.lost.isdisjoint(node.refs)
        depends = lost or bool(self.known)
        with _Escapes(self) as escapes, self:
            value = node.run(node.resolve(values))
        leaves = [x for x in tree_leaves(value) if x is not None]
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        if lost or escapes.found:
            self.kept[node.index] = [(x, None) for x in tensors]
        else:
            self.kept[node.index] = [(x, self.of(x)) for x in tensors if self.sees(x)]
        if depends and not node.is_shape_query and len(tensors) < len(leaves):
            self.lost.add(node.index)
        return value

    def sees(self, x: Tensor) -> bool:
        return id(x) in self.known or id(x.untyped_storage()) in self.written

    def of(self, x: Tensor) -> Seen | None:
        _, seen, since = self.known.get(id(x), (x, None, 0))
        _, overwritten = self.written.get(id(x.untyped_storage()), (None, 0))
        return seen if since >= overwritten else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.time += 1
        fields = {id(x): self.of(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and self.sees(x)}
        if not fields or _OF_SHAPES.fullmatch(name_of(func)):
            return result
        outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        for x, seen in zip(outputs, _seen(func, args, kwargs, fields, result, len(outputs)), strict=True):
            self.known[id(x)] = (x, seen, self.time)
        for argument, value in _bound(func, args, kwargs):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for x in tree_leaves(value):
                    self.written[id(x.untyped_storage())] = (x.untyped_storage(), self.time)
        return result


class _Escapes(TorchFunctionMode):
    """Notices where a function of the model takes numbers out of tensors, which are out of sight from then on."""

    def __init__(self, following: _Following) -> None:
        super().__init__()
        self.following = following
        self.found = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = [x for x in tree_leaves(result) if not isinstance(x, Tensor | None)]
        if taken and not is_of_shape(func):
            tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            self.found = self.found or any(map(self.following.sees, tensors))
        return result


def _bound(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The arguments of an operator as its schema lists them, with their values."""
    given = dict(zip((a.name for a in operator._schema.arguments), args, strict=False)) | dict(kwargs)
    return [(a, given.get(a.name, a.default_value)) for a in operator._schema.arguments]


def _seen(
    operator: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    fields: Mapping[int, Seen | None],
    result: Any,
    count: int,
) -> Sequence[Seen | None]:
    """What each tensor of a result sees, as the rule of its operator says."""
    known = {key: seen for key, seen in fields.items() if seen is not None}
    if len(known) < len(fields):
        return [None] * count
    shapes = [tuple(x.shape) for x in tree_leaves(result) if isinstance(x, Tensor)]
    arguments = {argument.name: value for argument, value in _bound(operator, args, kwargs)}
    try:
        rule = rule_of(operator)
        found = rule(Step(name_of(operator), arguments, known, result))
        each = found if isinstance(found, list) else [found] * count
        return [seen if seen.fits(shape) else None for shape, seen in zip(shapes, each, strict=True)]
    except (UnfollowedError, LookupError, TypeError, ValueError, ZeroDivisionError):  # no rule covers this form of it
        same = everywhere_the_same(list(known.values()))
        return [same and same.reshaped(shape) for shape in shapes]


def _field(value: Any, seen: Sequence[tuple[Tensor, Seen | None]]) -> ReceptiveField | None:
    """The field of a node's units; of several tensors that of the first."""
    value = next((x for x in tree_leaves(value) if isinstance(x, Tensor)), None)
    if value is None:
        return None
    fields = [field for x, field in seen if x is value]
    if not fields:
        return ReceptiveField((0, 0), (0, 0), (_blind(), _blind()))
    field = fields[0]
    if field is None:
        return None
    if value.dim() <= 2:
        field = field.mixed(range(value.dim()))
    place = {name: dim for dim, factors in enumerate(field.dims) for name, _ in factors if name}
    height, width = len(field.rows), len(field.columns)
    if value.dim() == 4 and place.get(ROWS, 2) == 2 and place.get(COLUMNS, 3) == 3:
        height, width = value.shape[2], value.shape[3]
    elif ROWS in place and COLUMNS in place and place[ROWS] > place[COLUMNS]:
        return None  # its rows are the image's columns
    elif value.dim() == 4 and (ROWS in place) != (COLUMNS in place):
        return None
    rows, columns = field.rows.spread(height), field.columns.spread(width)
    return ReceptiveField((rows.size, columns.size), (rows.stride, columns.stride), (rows, columns))


def _blind() -> FieldAxis:
    """One unit that sees nothing."""
    return pixels(1).taken(np.array([[-1]]), Fraction(1)).together()
