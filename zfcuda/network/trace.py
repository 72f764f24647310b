"""From a model to a Network: torch.fx records its forward, and every write in place becomes a new value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from zfcuda.network import calls
from zfcuda.network.graph import Network, Node, Ref, evaluating, map_nest, plain_name


def trace(model: nn.Module | Network) -> Network:
    """A model as a Network; one that is traced already is returned as it is.

    The model's forward runs once on a stand-in that only records, in eval mode and without its hooks; afterwards the
    model is as it was. A wrapper of torch.compile or DataParallel is looked through.

    Raises:
        TypeError: model is not a torch.nn.Module.
        ValueError: its forward depends on values or shapes in a way that torch.fx cannot record.
    """
    if isinstance(model, Network):
        return model
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    model = _unwrap(model)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError(f"model: {type(model).__name__} is compiled by torch.jit; pass the module that it was made of")
    tracer = _Tracer(model)
    with evaluating(model), _restoring(model):
        try:
            tracer.trace(_Root(model))
        except Exception as error:  # whatever a forward may raise on a stand-in
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"model: the forward of {type(model).__name__} cannot be recorded by torch.fx "
                f"(it must not branch on values or shapes): {reason}"
            ) from error
        return _Builder(tracer).build()


def layers(model: nn.Module | Network) -> list[str]:
    """The names that `layer=` takes for this model, in forward order, a container after what it contains."""
    return trace(model).layers


# ---------------------------------------------------------------- leaving the model as it was


@contextmanager
def _restoring(model: nn.Module) -> Iterator[None]:
    """Undoes what a forward leaves on its modules (`self.features = x`), which would be stand-ins here."""
    kept = [
        (attributes, dict(attributes))
        for module in model.modules()
        for attributes in (module.__dict__, module._parameters, module._buffers, module._modules)
    ]
    try:
        yield
    finally:
        for attributes, before in kept:
            if not _same(attributes, before):
                attributes.clear()
                attributes.update(before)


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[key] is b[key] for key in a)


def _unwrap(module: nn.Module) -> nn.Module:
    while True:
        inner = getattr(module, "_orig_mod", None)  # torch.compile
        if inner is None and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


# ---------------------------------------------------------------- recording


class _Root(nn.Module):
    """Calls the model as a module, so that the model itself is called like every other, whatever its signature."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input: Any) -> None:
        self.model(input)  # its result is recorded by the tracer, whatever its type


class _Proxy(fx.Proxy):
    """fx's stand-in, which takes `x += y` for `x = x + y`; this one records the write."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", calls.set_item, (self, index, value), {})


def _recording(function: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def method(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _operator in calls.WRITING_OPERATORS:
    setattr(_Proxy, f"__{_operator.__name__}__", _recording(_operator))


class _Tracer(fx.Tracer):
    """Records the calls of torch.nn modules and functions, and which value each module returned when."""

    proxy_buffer_attributes = True  # or `self.count += 1` would really count

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.paths = {module: plain_name(name) for name, module in model.named_modules()}
        self.within: list[str] = []  # the layers that are running, innermost last
        self.outputs: dict[str, tuple[int, Any]] = {}  # layer -> (nodes so far, its node or another result)
        self.called: dict[fx.Node, nn.Module] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the module computes as torch.nn's own class does, whoever derived from it."""
        if isinstance(m, nn.Sequential) or "forward" in m.__dict__ or not _is_torchs(m, "forward"):
            return False
        return not isinstance(m, nn.Conv2d) or _is_torchs(m, "_conv_forward")

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # Called below torch's own __call__, so that no hook of the user's sees a stand-in.
        path = self.paths.get(m)
        m = _unwrap(m)
        self.within.append(self.within[-1] if path is None and self.within else path or "")
        try:
            if self.is_leaf_module(m, ""):
                output = self.create_proxy("call_module", path or type(m).__name__, args, kwargs)
                self.called[output.node] = m
            else:
                output = m.forward(*args, **kwargs)
        finally:
            self.within.pop()
        if path is not None:
            self.outputs.pop(path, None)  # so that the order is that of the last calls
            result = output.node if isinstance(output, fx.Proxy) else output
            self.outputs[path] = (len(self.graph.nodes), result)
        return output

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["layer"] = self.within[-1] if self.within else ""
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


def _is_torchs(module: nn.Module, method: str) -> bool:
    return (getattr(type(module), method).__module__ or "").startswith("torch.nn.")


# ---------------------------------------------------------------- from the record to a Network


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


class _Builder:
    """Turns the record into nodes that overwrite nothing.

    A write in place makes a new node, which later readers of the same memory get. Where a value is a view of what was
    written, or may be one, its readers get an "ambiguous" node, which nothing can run.
    """

    def __init__(self, tracer: _Tracer) -> None:
        self.tracer = tracer
        self.nodes: list[Node] = []
        self.cells: dict[fx.Node, _Cell] = {}
        self.constants: dict[tuple[int, str], int] = {}

    def build(self) -> Network:
        # What a module returned is looked up as of its return: it may be overwritten later.
        returned: dict[int, list[str]] = {}
        for name, (time, output) in self.tracer.outputs.items():
            if isinstance(output, fx.Node):
                returned.setdefault(time, []).append(name)
        found: dict[str, int] = {}
        for time, recorded in enumerate([*self.tracer.graph.nodes, None]):
            for name in returned.get(time, ()):
                found[name] = self.cells[self.tracer.outputs[name][1]].value
            if recorded is not None and recorded.op != "output":
                self.cells[recorded] = self.read(recorded)
        names = {name: found[name] for name in self.tracer.outputs if name in found}
        unusable = {
            name: f"returns a {type(output).__name__}, not a tensor"
            for name, (_, output) in self.tracer.outputs.items()
            if name not in found
        }
        # A module that is registered under several names goes by each.
        first = self.tracer.paths
        for name, module in self.tracer.model.named_modules(remove_duplicate=False):
            name = plain_name(name)
            if name not in names and name not in unusable:
                if first[module] in names:
                    names[name] = names[first[module]]
                else:
                    unusable[name] = unusable.get(first[module], "is not called in the forward pass")
        return Network(self.tracer.model, tuple(self.nodes), names, unusable)

    def add(self, kind: str, arguments: Mapping[str, Any], label: str) -> int:
        self.nodes.append(Node(len(self.nodes), kind, arguments, label))
        return len(self.nodes) - 1

    def read(self, recorded: fx.Node) -> _Cell:
        """The cell of what one recorded step returns."""
        layer = recorded.meta["layer"]
        within = f" in layer {layer!r}" if layer else " in the model's forward"
        if recorded.op == "placeholder":
            return _Cell(self.add("input", {}, "the picture"))
        if recorded.op == "get_attr":
            return _Cell(self.constant(self.tracer.root, str(recorded.target)))
        if recorded.op == "call_module":
            module = self.tracer.called[recorded]
            label = f"layer {layer!r} ({type(module).__name__})" if layer else type(module).__name__
            # A constant is not a recorded node: it goes into the arguments as the Ref that it will be.
            call = calls.of_module(module, recorded.args, recorded.kwargs, lambda n: Ref(self.constant(module, n)))
        else:
            target: Any = recorded.target
            label = f"{_spoken(target)}{within}"
            call = calls.of_function(target, recorded.args, recorded.kwargs)
        if call.kind == "identity" and call.shares == "all" and call.arguments["input"] in self.cells:
            return self.cells[call.arguments["input"]]
        arguments = {name: map_nest(value, self.ref) for name, value in call.arguments.items()}
        index = self.add(call.kind, arguments, label)
        inputs = [self.cells[node] for node in recorded.all_input_nodes]
        if isinstance(call.writes, fx.Node) and self.cells[call.writes].is_tensor:
            cell = self.cells[call.writes]
            for relative in cell.family - {cell}:
                was = {"was": Ref(relative.value)}
                relative.value = self.add("ambiguous", was, f"what {label} may have overwritten")
            cell.value = index
            return cell
        # Sizes, and what is made of them: `n += 1` overwrites nothing there.
        is_size = self.nodes[index].is_shape_query or (bool(inputs) and not any(cell.is_tensor for cell in inputs))
        cell = _Cell(index, is_tensor=not is_size)
        if call.shares == "some" and not is_size:
            for other in inputs:
                cell.join(other)
        return cell

    def ref(self, x: Any) -> Any:
        return Ref(self.cells[x].value) if isinstance(x, fx.Node) else x

    def constant(self, module: nn.Module, name: str) -> int:
        """The node of a tensor of the model, one per tensor."""
        key = (id(module), name)
        if key not in self.constants:

            def read() -> Any:
                value: Any = module
                for part in name.split("."):
                    value = getattr(value, part)
                return value

            self.constants[key] = self.add("constant", {"function": read}, f"tensor {name.removeprefix('model.')!r}")
        return self.constants[key]


def _spoken(target: Any) -> str:
    """How messages call a function or method: "torch.sigmoid", "Tensor.sigmoid", "relu6"."""
    if isinstance(target, str):
        return f"Tensor.{target}"
    name = getattr(target, "__name__", type(target).__name__)
    if name == "fn":  # what torch calls those that dispatch on return_indices
        name = next((key for key, value in vars(F).items() if value is target), name)
    return f"torch.{name}" if getattr(torch, name, None) is target else name
