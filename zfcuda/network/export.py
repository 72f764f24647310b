"""Models that torch.fx cannot record, because they branch on shapes: torch.export records them for one shape."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from io import StringIO
from operator import getitem
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental import _config
from torch.nn.modules import module as _everywhere
from torch.overrides import TorchFunctionMode

from zfcuda import ops
from zfcuda.network import calls
from zfcuda.network.builder import Builder, Tensors
from zfcuda.network.calls import Call
from zfcuda.network.graph import Network, plain_name
from zfcuda.network.intact import Watching

# ---------------------------------------------------------------- aten's operators as the calls they come from

# The operators that take the arguments of a torch function that zfcuda.network.calls knows.
_FUNCTIONS: dict[str, Any] = {
    "conv2d": F.conv2d,
    "linear": F.linear,
    "relu": torch.relu,
    "relu_": torch.relu_,
    "max_pool2d": torch.max_pool2d,
    "avg_pool2d": F.avg_pool2d,
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "mean": torch.mean,
    "batch_norm": torch.batch_norm,
    **dict.fromkeys(("dropout", "dropout_", "feature_dropout", "feature_dropout_"), F.dropout),
    **dict.fromkeys(("alpha_dropout", "alpha_dropout_", "feature_alpha_dropout"), F.dropout),
    **dict.fromkeys(("cat", "concat", "concatenate"), torch.cat),
    "add": torch.add,
    "add_": "add_",
    **dict.fromkeys(("mul", "multiply"), torch.mul),
    **dict.fromkeys(("mul_", "multiply_"), "mul_"),
    "softmax": torch.softmax,
    "channel_shuffle": F.channel_shuffle,
    **dict.fromkeys(("alias", "detach", "detach_"), torch.detach),
    "clone": torch.clone,
    "contiguous": "contiguous",
}
# Sizes, what moves values, and reshapes: what is a view of the traced image may have to be a copy where the strides are
# others.
_METHODS = {
    "flatten": torch.flatten,
    **dict.fromkeys(("reshape", "view", "_unsafe_view"), torch.reshape),
    "squeeze": torch.squeeze,
    "unsqueeze": torch.unsqueeze,
    "unflatten": "unflatten",
    "pad": F.pad,
    "flip": torch.flip,
    "roll": torch.roll,
    **{f"sym_{name}": name for name in ("size", "stride", "numel", "storage_offset")},
}


def _fixed_batch_norm(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *momentum_eps: Any) -> Any:
    return calls.adapted(torch.batch_norm, (x, weight, bias, mean, variance, False, *momentum_eps, True), {})


def _lrn(x: Any, size: Any, alpha: Any, beta: Any, k: Any) -> Any:
    return calls.adapted(F.local_response_norm, (x, size, alpha, beta, k), {})


def _slice(x: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    end = None if end == sys.maxsize else end
    if start in (None, 0) and end is None and step == 1:
        return Call("identity", {"input": x}, shares="all")
    # The image has four dimensions, and torch.export names each by its number.
    if dim == 1:
        return Call("channels", {"input": x, "index": slice(start, end, step)}, shares="some")
    if dim < 1:
        return None
    return calls.of_function(getitem, (x, (*[slice(None)] * dim, slice(start, end, step))), {})


def _constant_pad(x: Any, pad: Any, value: Any = 0) -> Call:
    return calls.of_function(F.pad, (x, pad, "constant", value), {})


def _enlarge(x: Any, size: Any, scales: Any = None, *more: Any) -> Call | None:
    # The other form has a number for each side.
    return None if more else calls.of_function(F.interpolate, (x, size, scales, "nearest"), {})


_FORMS: dict[str, Callable[..., Call | None]] = {
    "_native_batch_norm_legit_no_training": _fixed_batch_norm,  # its other results are empty
    "local_response_norm": _lrn,
    "slice": _slice,
    "constant_pad_nd": _constant_pad,
    "upsample_nearest2d": _enlarge,
}


def _of_operator(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The call of an operator of torch.ops."""
    space, name = operator._schema.name.split("::")
    known = space in ("aten", "zfcuda")
    call = None
    if known and name in _FORMS:
        call = _FORMS[name](*args, **kwargs)
    elif known and name in _FUNCTIONS:
        call = calls.adapted(_FUNCTIONS[name], args, kwargs)
    elif known and name in _METHODS and not isinstance(args[-1], torch.dtype):
        call = calls.of_function(_METHODS[name], args, kwargs)
    if call is not None:
        return call
    # Here the schema says what it does to memory.
    written, viewed = [], calls.may_view(name)
    for place, argument in enumerate(operator._schema.arguments):
        if argument.alias_info is not None:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            viewed = viewed or not argument.alias_info.is_write
            written += [value] if argument.alias_info.is_write and value is not None else []
    if len(written) > 1 or (written and not isinstance(written[0], fx.Node)):
        raise ValueError(f"{operator} writes to more than one tensor")
    copies = bool(written) or "batch_norm" in name or name == "instance_norm"
    if operator is torch.ops.aten.copy.default:  # the same in place, on a copy, which autograd knows
        operator, copies = torch.ops.aten.copy_.default, True
    return Call(
        "pointwise" if space == "aten" and calls.is_pointwise(name) else "other",
        {"function": calls.on_copies(operator) if copies else operator, "args": tuple(args), "kwargs": dict(kwargs)},
        written[0] if written else None,
        "some" if viewed and not written else "nothing",
    )


# ---------------------------------------------------------------- recording


@torch.library.custom_op("zfcuda_network::returned", mutates_args=())
def _returned(value: Tensor, layer: str) -> Tensor:
    """Stands in the exported graph where a layer returned this value."""
    return value.new_empty(0)


@_returned.register_fake
def _(value: Tensor, layer: str) -> Tensor:
    return value.new_empty(0)


class _Notes:
    """What the layers return.

    results: for every call (the layer, what it returned if that is no tensor, else None), in the order of their ends.
    tensors: the tensors that _returned stands for.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.results: list[tuple[str, Any]] = []
        self.tensors: list[Tensor] = []

    def take(self, layer: str, output: Any) -> None:
        is_tensor = isinstance(output, Tensor)
        self.results.append((layer, None if is_tensor else output))
        if is_tensor:
            self.tensors.append(_returned(output, layer))


class _Root(nn.Module):
    """Calls the model, and returns the notes on all of its layers, so that no layer is left out as unused."""

    def __init__(self, model: nn.Module, notes: _Notes) -> None:
        super().__init__()
        self.model, self.notes = model, notes
        watching = Watching(model)  # the caller restores the modules' attributes, and so their hooks
        for path, module in model.named_modules():
            layer = plain_name(path)
            watching.add(module, lambda _, __, output, layer=layer: notes.take(layer, output))  # type: ignore[misc]

    def forward(self, input: Tensor) -> list[Tensor]:
        self.notes.clear()
        self.model(input)
        return self.notes.tensors


class _KeepingNormalisation(TorchFunctionMode):
    """Local response normalisation as one step, where torch writes it in ten."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.local_response_norm:
            func = _local_response_norm
        return func(*args, **(kwargs or {}))


def _local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    function = ops.local_response_norm if input.dim() == 4 else F.local_response_norm
    return function(input, size, float(alpha), float(beta), float(k))


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def _without_hooks(model: nn.Module) -> Iterator[None]:
    """Takes the user's hooks off, so that none sees a stand-in. The caller restores the modules' attributes."""
    for module in model.modules():
        module.__dict__.update({name: OrderedDict() for name in _HOOKS if name in module.__dict__})
        module.__dict__["_compiled_call_impl"] = None  # what module.compile() has set
    everywhere = [hooks for name in _HOOKS if (hooks := getattr(_everywhere, f"_global{name}", None))]
    kept = [dict(hooks) for hooks in everywhere]
    for hooks in everywhere:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, before in zip(everywhere, kept, strict=True):
            hooks.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences torch.export, which logs what it then raises, and warns of attributes that are put right here."""
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


# More at a time are never run. Some of torch's operators take no more on a GPU and let a promise of more fail.
_MOST_IMAGES = 65535


class _FixedBatchError(ValueError):
    """The batch dimension cannot be made dynamic."""


def _export(root: nn.Module, example: Tensor, oblivious: bool) -> Any:
    """Exports the model for any batch.

    oblivious: take no number of images for granted; otherwise what asks `len(x) == 1` is told no, silently.
    """
    # A batch of one would be recorded as a size that never changes.
    images = torch.cat([example.detach()[:1]] * 3)
    batch = torch.export.Dim("batch", min=1, max=_MOST_IMAGES)
    try:
        with _config.patch(backed_size_oblivious=oblivious):  # type: ignore[attr-defined]
            return torch.export.export(root, (images,), dynamic_shapes=({0: batch},), strict=False)
    except Exception as error:
        if "(batch)" not in str(error):
            raise
        reason = next((line.strip(" -") for line in str(error).splitlines() if line.startswith("  - ")), str(error))
        raise _FixedBatchError(f"the batch dimension cannot be made dynamic: {reason}") from error


def _holds_for_one(graph: Network, example: Tensor) -> bool:
    """Whether the network gives what the model gives for the first image alone."""
    if "" not in graph.names:
        return False
    one = example.detach()[:1].clone()
    buffers = {name: x.clone() for name, x in graph.model.named_buffers()}
    expected = torch.func.functional_call(graph.model, buffers, (one.clone(),))
    value = graph.run(one, [graph.names[""]])[graph.names[""]]
    return value.shape == expected.shape and torch.allclose(value, expected, rtol=1e-3, atol=1e-5)


class Exported:
    """The record of a forward by torch.export (a zfcuda.network.builder.Record)."""

    def __init__(
        self, model: nn.Module, program: Any, results: Sequence[tuple[str, Any]], shape: tuple[int, ...]
    ) -> None:
        self.model, self.shape = model, shape
        self.paths = {module: plain_name(name) for name, module in model.named_modules()}
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.steps: list[fx.Node] = []
        notes: dict[str, list[tuple[int, Any]]] = {}
        for step in program.graph.nodes:
            if isinstance(step.target, torch._ops.HigherOrderOperator):
                raise ValueError(f"its forward contains {step.target}, of which each side would have to be recorded")
            if step.target is torch.ops.zfcuda_network.returned.default:
                notes.setdefault(step.args[1], []).append((len(self.steps), step.args[0]))
            elif step.op != "output":
                self.steps.append(step)
        in_order = {name: iter(each) for name, each in notes.items()}
        self.calls: list[tuple[str, int, Any]] = [
            (name, *next(in_order.get(name, iter(())), (0, None))) if result is None else (name, 0, result)
            for name, result in results
        ]
        signature = program.graph_signature
        self.tensors = {spec.arg.name: spec.target for spec in signature.input_specs if spec.target is not None}
        self.literals = SimpleNamespace(**{_flat(name): x for name, x in program.constants.items()})

    def call(self, step: fx.Node, tensor: Tensors) -> tuple[Call, str] | None:
        if step.op == "placeholder":
            name = self.tensors.get(step.name)
            return (Call("input", {}), "the picture") if name is None else (self._constant(name), "")
        target: Any = step.target
        source: Any = step.args[0] if step.args else None
        if isinstance(target, torch._ops.OpOverload):
            call = _of_operator(target, step.args, step.kwargs)
            if not target._schema.returns and call.writes is None:  # an assertion
                return None
            if target is torch.ops.aten.index.Tensor and (numbers := self._numbers(step.args[1])) is not None:
                call = Call("channels", {"input": source, "index": numbers})
        elif getattr(source, "target", None) is torch.ops.aten._native_batch_norm_legit_no_training.default:
            call = Call("identity", {"input": source}, shares="all")  # the first of its results
        else:  # one of Python's own functions, on sizes or lists of tensors
            call = calls.of_function(target, step.args, step.kwargs)
        return call, self._label(step)

    def _numbers(self, indices: Any) -> list[int] | None:
        """The channel numbers of `x[:, [2, 1, 0]]`, which torch.export keeps as a tensor."""
        if len(indices) != 2 or indices[0] is not None:
            return None
        step = indices[1]
        while step.op == "call_function" and calls.name_of(step.target) in ("lift_fresh_copy", "clone", "detach_"):
            step = step.args[0]
        literal = self._literal(self.tensors.get(step.name))
        is_list = literal is not None and literal.dtype == torch.int64 and literal.dim() == 1
        return literal.tolist() if literal is not None and is_list else None

    def _constant(self, name: str) -> Call:
        """A tensor of the model, as it will be when the network runs, or a number that the forward made a tensor of."""
        if self._literal(name) is not None:
            return Call("constant", {"module": self.literals, "name": _flat(name)})
        path, _, attribute = name.removeprefix("model.").rpartition(".")
        return Call("constant", {"module": self.modules[path], "name": attribute})

    def _literal(self, name: str | None) -> Tensor | None:
        """A number that the forward made a tensor of; None: a tensor of the model."""
        if name is None:
            return None
        path, _, attribute = name.removeprefix("model.").rpartition(".")
        if isinstance(getattr(self.modules.get(path), attribute, None), Tensor):
            return None
        return getattr(self.literals, _flat(name), None)

    def _label(self, step: fx.Node) -> str:
        stack = [path for path, _ in step.meta.get("nn_module_stack", {}).values()] or ["?"]
        # "model.relu@1" is a later call of the layer "relu".
        module = self.modules.get(re.sub(r"@\d+", "", stack[-1]).removeprefix("model").removeprefix("."))
        layer = self.paths[module] if module is not None else ""
        if layer and type(module).__module__.startswith("torch.nn."):
            return f"layer {layer!r} ({type(module).__name__})"
        within = f"in layer {layer!r}" if layer else "in the model's forward"
        return f"{calls.name_of(step.target)} {within}"


def _flat(name: str) -> str:
    return name.replace(".", "_")


def network(model: nn.Module, example: Tensor) -> Network:
    """A model in eval mode as a Network for images of the example's shape; the caller restores its attributes.

    example: [N,C,H,W].

    Raises:
        Exception: whatever torch.export raises.
        ValueError: the batch dimension cannot be made dynamic, or the model uses control flow of torch's own.
    """
    for module in list(model.modules()):
        for name, child in module._modules.items():
            module._modules[name] = getattr(child, "_orig_mod", child)  # what torch.compile wraps
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(example.device.type, enabled=False))
        stack.enter_context(_quiet())
        stack.enter_context(_without_hooks(model))
        stack.enter_context(_KeepingNormalisation())
        notes = _Notes()
        root = _Root(model, notes)
        try:
            program, fixed = _export(root, example, oblivious=True), None
        except _FixedBatchError as error:
            # Torch itself asks for a batch of one where it may save a copy: then the values have to tell.
            program, fixed = _export(root, example, oblivious=False), error
        record = Exported(model, program, notes.results, tuple(example.shape[1:]))
        graph = Builder(record).build()
        if any(node.kind == "ambiguous" for node in graph.ancestors(graph.names.values())):
            # It writes through views. Torch can say so without, but then calls some layers by other names.
            record = Exported(model, program.run_decompositions({}), notes.results, record.shape)
            graph = Builder(record).build()
        if fixed is not None and not _holds_for_one(graph, example):
            raise fixed
        return graph
