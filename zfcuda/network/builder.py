"""Turns the record of a model's forward into a Network: every write in place becomes a new value."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import fx, nn

from zfcuda.network import calls
from zfcuda.network.calls import Call
from zfcuda.network.graph import Network, Node, Ref, map_nest, plain_name

Tensors = Callable[[Any, str], Ref]  # a module and the name of one of its tensors -> what stands for it


class Record(Protocol):
    """What a forward did.

    steps: in the order in which they ran.
    paths: the modules of the model -> the first name of each.
    calls: every call of a layer, in the order in which they returned: (its first name, how many steps had run then, the
        step that it returned or another result).
    shape: as in a Network.
    """

    @property
    def model(self) -> nn.Module: ...

    @property
    def steps(self) -> Sequence[fx.Node]: ...

    @property
    def paths(self) -> Mapping[nn.Module, str]: ...

    @property
    def calls(self) -> Sequence[tuple[str, int, Any]]: ...

    @property
    def shape(self) -> tuple[int, ...] | None: ...

    def call(self, step: fx.Node, tensor: Tensors) -> tuple[Call, str] | None:
        """A step as a call, steps among its arguments, and its label; None: it computes nothing.

        Two kinds are this record's own: "input", and "constant" with the arguments module and name.
        """


class _Cell:
    """A piece of memory: the node that holds its present value, and the cells that may share its memory."""

    def __init__(self, value: int, is_tensor: bool = True) -> None:
        self.value = value
        self.is_tensor = is_tensor
        self.family: set[_Cell] = {self}

    def join(self, other: _Cell) -> None:
        family = self.family | other.family
        for cell in family:
            cell.family = family


def _nodes_in(nest: Any) -> list[fx.Node]:
    """The steps in a nest of lists and tuples, but not one by itself."""
    found: list[fx.Node] = []
    if not isinstance(nest, fx.Node):
        map_nest(nest, lambda x: found.append(x) if isinstance(x, fx.Node) else x)
    return found


class Builder:
    """Turns the record into nodes that overwrite nothing.

    A write in place makes a new node, which later readers of the same memory get. Where a value is a view of what was
    written, or may be one, its readers get an "ambiguous" node, which nothing can run.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.nodes: list[Node] = []
        self.cells: dict[fx.Node, _Cell] = {}
        self.constants: dict[tuple[int, str], int] = {}

    def build(self) -> Network:
        # What a module returned is looked up as of its return: it may be overwritten later.
        record = self.record.calls
        returned: dict[int, list[int]] = {}
        for number, (_, time, output) in enumerate(record):
            if isinstance(output, fx.Node):
                returned.setdefault(time, []).append(number)
        node_of: dict[int, int] = {}
        for time, step in enumerate([*self.record.steps, None]):
            for number in returned.get(time, ()):
                node_of[number] = self.cells[record[number][2]].value
            if step is not None:
                self.read(step)
        done = tuple((name, node_of.get(number)) for number, (name, _, _) in enumerate(record))
        last = sorted({name: number for number, (name, _) in enumerate(done)}.values())
        names = {record[number][0]: node_of[number] for number in last if number in node_of}
        unusable = {
            record[number][0]: f"returns a {type(record[number][2]).__name__}, not a tensor"
            for number in last
            if number not in node_of
        }
        # A module that is registered under several names goes by each.
        first = self.record.paths
        for name, module in self.record.model.named_modules(remove_duplicate=False):
            name = plain_name(name)
            if name not in names and name not in unusable:
                if first[module] in names:
                    names[name] = names[first[module]]
                else:
                    unusable[name] = unusable.get(first[module], "is not called in the forward pass")
        return Network(self.record.model, tuple(self.nodes), done, names, unusable, self.record.shape)

    def add(self, kind: str, arguments: Mapping[str, Any], label: str) -> int:
        self.nodes.append(Node(len(self.nodes), kind, arguments, label))
        return len(self.nodes) - 1

    def read(self, step: fx.Node) -> None:
        # A constant is not a recorded step: it goes into the arguments as the Ref that it will be.
        call = self.record.call(step, lambda module, name: Ref(self.constant(module, name)))
        if call is not None:
            self.cells[step] = self.cell(step, *self.piece(step, *call))

    def cell(self, step: fx.Node, call: Call, label: str) -> _Cell:
        """The cell of what one recorded step returns."""
        if call.kind == "input":
            return _Cell(self.add("input", {}, label))
        if call.kind == "constant":
            return _Cell(self.constant(**call.arguments))
        if call.kind == "identity" and call.shares == "all" and call.arguments["input"] in self.cells:
            return self.cells[call.arguments["input"]]
        arguments = {name: map_nest(value, self.ref) for name, value in call.arguments.items()}
        index = self.add(call.kind, arguments, label)
        inputs = [self.cells[node] for node in step.all_input_nodes]
        if isinstance(call.writes, fx.Node) and self.cells[call.writes].is_tensor:
            cell = self.cells[call.writes]
            for relative in cell.family - {cell}:
                was = {"was": Ref(relative.value)}
                relative.value = self.add("ambiguous", was, f"what {label} may have overwritten")
            cell.value = index
            return cell
        for written in _nodes_in(call.writes):
            if self.cells[written].is_tensor:  # one of a list of tensors, as torch._foreach_relu_ writes to
                for relative in self.cells[written].family:
                    was = {"was": Ref(relative.value)}
                    relative.value = self.add("ambiguous", was, f"what {label} has overwritten")
        # Sizes, and what is made of them: `n += 1` overwrites nothing there.
        is_size = self.nodes[index].is_shape_query or (bool(inputs) and not any(cell.is_tensor for cell in inputs))
        cell = _Cell(index, is_tensor=not is_size)
        if call.shares == "some" and not is_size:
            for other in inputs:
                cell.join(other)
        return cell

    def piece(self, step: fx.Node, call: Call, label: str) -> tuple[Call, str]:
        """A piece of a map that was cut in several is taken from the map itself; so is a channel, made a map again."""
        args = call.arguments.get("args", ())
        if not args or not isinstance(args[0], fx.Node):
            return call, label
        whole = self.nodes[self.cells[args[0]].value]
        if whole.kind != "other" or not self.cells[args[0]].is_tensor:
            return call, label
        name = calls.name_of(call.arguments["function"])
        if name == "unsqueeze":
            piece = calls.channel(whole.arguments, call.arguments)
        else:
            piece = calls.piece(whole.arguments, args[1]) if name == "getitem" else None
        return (call, label) if piece is None else (piece, whole.label)

    def ref(self, x: Any) -> Any:
        return Ref(self.cells[x].value) if isinstance(x, fx.Node) else x

    def constant(self, module: Any, name: str) -> int:
        """The node of a tensor of the model, one per tensor."""
        model = self.record.model
        if getattr(module, "model", None) is model and name.startswith("model."):  # of what calls the model here
            module, name = model, name.removeprefix("model.")
        key = (id(module), name)
        if key not in self.constants:
            # The model holds what is learnt about it, never the other way round; its Network has it.
            holder = weakref.ref(module) if module is model else lambda: module

            def read() -> Any:
                value: Any = holder()
                for part in name.split("."):
                    value = getattr(value, part)
                return value

            self.constants[key] = self.add("constant", {"function": read}, f"tensor {name!r}")
        return self.constants[key]
