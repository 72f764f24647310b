"""Turns a model into a Network: torch.fx records its forward, and torch.export where that cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from zfcuda.network import calls, export
from zfcuda.network.builder import Builder, Tensors
from zfcuda.network.graph import Network, first_line, plain_name, spoken_shape, unwrap, wrapper_of
from zfcuda.network.intact import evaluating, restoring

# While torch.fx or torch.export records, Python's calls of all modules are diverted: one thread at a time.
RECORDING = threading.RLock()


def trace(model: nn.Module | Network, example: Tensor | None = None) -> Network:
    """A model as a Network; one that is traced already is returned as it is.

    The model's forward runs once on a stand-in that only records, in eval mode, without gradients and without its
    hooks; afterwards the model is as it was. A wrapper of torch.compile or DataParallel is looked through.

    Args:
        model: any module whose forward torch.fx can record, or torch.export with the example; or a Network.
        example: [N,C,H,W], an image of the model's dtype and device, for a model whose forward branches on shapes:
            where torch.fx cannot record it, torch.export does, in seconds. The network then holds for any number of
            images of this shape, and refuses others.

    Raises:
        TypeError: model is not a torch.nn.Module, or example no floating Tensor.
        ValueError: its forward depends on values, or without an example on shapes, in a way that cannot be recorded;
            example is not [N,C,H,W].
    """
    if example is not None:
        _check_example(example)
    if isinstance(model, Network):
        return model
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    wrapper, model = wrapper_of(model), unwrap(model)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError(f"model: {type(model).__name__} is compiled by torch.jit; pass the module that it was made of")
    with RECORDING, evaluating(model), torch.no_grad():
        return replace(_recorded(model, example), wrapper=wrapper)


def _recorded(model: nn.Module, example: Tensor | None) -> Network:
    tracer = _Tracer(model)
    with restoring(model):
        try:
            tracer.trace(_Root(model))
        except Exception as error:  # whatever a forward may raise on a stand-in
            cause = error
        else:
            return Builder(tracer).build()
    refusal = (
        f"model: the forward of {type(model).__name__} cannot be recorded by torch.fx "
        f"(it must not branch on values or shapes): {first_line(cause)}"
    )
    if example is None:
        raise ValueError(refusal) from cause
    with restoring(model):
        try:
            return export.network(model, example)
        except Exception as error:
            shape = spoken_shape(example.shape[1:])
            raise ValueError(f"{refusal}; nor by torch.export for images {shape}: {first_line(error)}") from error


def _check_example(example: Any) -> None:
    if not isinstance(example, Tensor) or not example.is_floating_point():
        got = example.dtype if isinstance(example, Tensor) else type(example).__name__
        raise TypeError(f"example: expected a floating torch.Tensor, got {got}")
    if example.dim() != 4 or example.numel() == 0:
        raise ValueError(f"example: expected [N,C,H,W], got {spoken_shape(example.shape)}")


def layers(model: nn.Module | Network) -> list[str]:
    """The names that `layer=` takes for this model, in forward order, a container after what it contains."""
    return trace(model).layers


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


class OneThreadTracer(fx.Tracer):
    """Leaves the calls of other threads alone, which torch.fx diverts as well; to be used while RECORDING is held."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self.thread:  # a real run, of this model or of another
            return forward(*args, **kwargs)
        return self.call_own(m, forward, args, kwargs)

    def call_own(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Records a call of this thread."""
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class _Tracer(OneThreadTracer):
    """Records the calls of torch.nn modules and functions, and which value each module returned when."""

    proxy_buffer_attributes = True  # or `self.count += 1` would really count
    shape = None

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.paths = {module: plain_name(name) for name, module in model.named_modules()}
        self.within: list[str] = []  # the layers that are running, innermost last
        self.calls: list[tuple[str, int, Any]] = []  # layer, nodes so far, its node or another result
        self.called: dict[fx.Node, nn.Module] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the module computes as torch.nn's own class does, whoever derived from it."""
        if isinstance(m, nn.Sequential) or _has_own_methods(m) or not _is_torchs(m, "forward"):
            return False
        return not isinstance(m, nn.Conv2d) or _is_torchs(m, "_conv_forward")

    def call_own(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The call goes below torch's own __call__, so that no hook of the user's sees a stand-in.
        path, inner = self.paths.get(m), self.paths.get(unwrap(m))
        m = unwrap(m)
        self.within.append(self.within[-1] if path is None and self.within else path or "")
        try:
            if self.is_leaf_module(m, ""):
                output = self.create_proxy("call_module", path or type(m).__name__, args, kwargs)
                self.called[output.node] = m
            else:
                output = m.forward(*args, **kwargs)
        finally:
            self.within.pop()
        result = output.node if isinstance(output, fx.Proxy) else output
        for name in dict.fromkeys((inner, path)):  # the module inside a DataParallel has a name too
            if name is not None:
                self.calls.append((name, len(self.graph.nodes), result))
        return output

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["layer"] = self.within[-1] if self.within else ""
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    @property
    def steps(self) -> list[fx.Node]:
        return [step for step in self.graph.nodes if step.op != "output"]

    def call(self, step: fx.Node, tensor: Tensors) -> tuple[calls.Call, str]:
        layer, target = step.meta["layer"], step.target
        if step.op == "placeholder":
            return calls.Call("input", {}), "the picture"
        if step.op == "get_attr":
            return calls.Call("constant", {"module": self.root, "name": str(target)}), ""
        if step.op == "call_module":
            module = self.called[step]
            label = f"layer {layer!r} ({type(module).__name__})" if layer else type(module).__name__
            return calls.of_module(module, step.args, step.kwargs, lambda name: tensor(module, name)), label
        within = f" in layer {layer!r}" if layer else " in the model's forward"
        return calls.of_function(target, step.args, step.kwargs), f"{_spoken(target)}{within}"


def _has_own_methods(module: nn.Module) -> bool:
    """Whether a method of this one module was replaced, `conv.forward` or `conv._conv_forward`."""
    shadowing = (name for name, value in module.__dict__.items() if callable(value) and hasattr(type(module), name))
    return any(name == "forward" or not hasattr(nn.Module, name) for name in shadowing)


def _is_torchs(module: nn.Module, method: str) -> bool:
    return (getattr(type(module), method).__module__ or "").startswith("torch.nn.")


def _spoken(target: Any) -> str:
    """How messages call a function or method: "torch.sigmoid", "Tensor.sigmoid", "relu6"."""
    if isinstance(target, str):
        return f"Tensor.{target}"
    name = getattr(target, "__name__", type(target).__name__)
    if name == "fn":  # what torch calls those that dispatch on return_indices
        name = next((key for key, value in vars(F).items() if value is target), name)
    return f"torch.{name}" if getattr(torch, name, None) is target else name
