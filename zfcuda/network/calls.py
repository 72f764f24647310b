"""Which call of a module, function or method is which kind of layer, and what it does to memory."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from zfcuda.network.kinds import lrn_within


@dataclass(frozen=True)
class Call:
    """One call: its kind, its arguments by name, and what its result has to do with the memory of its inputs."""

    kind: str
    arguments: dict[str, Any]
    writes: Any = None  # the argument that the result overwrites
    shares: str = "nothing"  # "nothing" | "all" (the result is its input) | "some" (it may be a view of it)


def _conv(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Call:
    return Call("conv", {**locals(), "padding_mode": "zeros"})


def _linear(input: Any, weight: Any, bias: Any = None) -> Call:
    return Call("linear", locals())


def _relu(input: Any, inplace: bool = False) -> Call:
    return Call("relu", {"input": input}, writes=input if inplace else None)


def _relu_(input: Any) -> Call:
    return Call("relu", {"input": input}, writes=input)


def _max_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: bool = False,
) -> Call | None:
    arguments = locals()
    return None if arguments.pop("return_indices") else Call("max_pool", arguments)


def _avg_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Call:
    return Call("avg_pool", locals())


def _adaptive_avg_pool(input: Any, output_size: Any) -> Call:
    return Call("adaptive_avg_pool", locals())


def _mean(input: Any, dim: Any, keepdim: bool = False, *, dtype: Any = None) -> Call | None:
    return Call("mean", {"input": input, "dim": dim, "keepdim": keepdim}) if dtype is None else None


def _lrn(input: Any, size: Any, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Call:
    return Call("lrn", locals())


def _lrn_within(input: Any, size: Any, alpha: float, beta: float) -> Call:
    return Call("lrn_within", locals())


def _batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Call | None:
    arguments = locals()
    del arguments["momentum"]
    # With the statistics of the image itself it is no fixed filter.
    return None if arguments.pop("training") is not False or running_mean is None else Call("batch_norm", arguments)


def _inner_batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: Any,
    momentum: Any,
    eps: float,
    cudnn_enabled: Any,
) -> Call | None:
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _dropout(input: Any, p: Any = 0.5, training: Any = True, inplace: bool = False) -> Call | None:
    return _itself(input) if training is False or (isinstance(p, float | int) and p == 0) else None


def _stochastic_depth(input: Any, p: Any, mode: Any, training: Any = True) -> Call | None:
    return _itself(input) if training is False else None


def _cat(tensors: Any, dim: Any = 0) -> Call:
    return Call("cat", locals())


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Call | None:
    return Call("add", {"input": input, "other": other}) if isinstance(alpha, float | int) and alpha == 1 else None


def _add_(input: Any, other: Any, *, alpha: Any = 1) -> Call | None:
    call = _add(input, other, alpha=alpha)
    return call and Call(call.kind, call.arguments, writes=input)


def _mul(input: Any, other: Any) -> Call:
    return Call("mul", locals())


def _mul_(input: Any, other: Any) -> Call:
    return Call("mul", locals(), writes=input)


def _softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Call | None:
    return Call("softmax", {"input": input, "dim": dim}) if isinstance(dim, int) and dtype is None else None


def _softmax_method(input: Any, dim: Any, dtype: Any = None) -> Call | None:
    return _softmax(input, dim, dtype=dtype)


def _getitem(input: Any, index: Any) -> Call | None:
    """`x[:, a:b]` and `x[:, [c, d]]`."""
    if not isinstance(index, tuple) or len(index) < 2 or index[0] != slice(None):
        return None
    chosen = index[1]
    numbers = isinstance(chosen, list) and all(type(i) is int for i in chosen)
    whole = all(isinstance(i, slice | EllipsisType) and i in (slice(None), ...) for i in index[2:])
    if not whole or not (numbers or isinstance(chosen, slice)):
        return None
    return Call("channels", {"input": input, "index": chosen}, shares="some")


def _channel_shuffle(input: Any, groups: Any) -> Call | None:
    if not isinstance(groups, int):
        return None
    return Call("channels", {"input": input, "index": partial(_shuffled, groups)})


def _shuffled(groups: int, channels: int) -> list[int]:
    return [i + j * (channels // groups) for i in range(channels // groups) for j in range(groups)]


def _chunk(part: int, parts: int, channels: int) -> slice:
    return _split(part, -(-channels // parts), channels)


def _split(part: int, size: int, channels: int) -> slice:
    """A piece of so many channels; a negative one is counted from the last, which may be smaller."""
    part += -(-channels // size) if part < 0 else 0
    return slice(part * size, (part + 1) * size)


def piece(arguments: Mapping[str, Any], part: Any) -> Call | None:
    """What `chunk(...)[part]` or `split(...)[part]` is, given the arguments of the call that cuts; None: nothing known.

    Only along dimension 1, in pieces whose sizes are given.
    """
    name = name_of(arguments["function"])
    settings = dict(arguments["kwargs"])
    dim = settings.pop("dim", 0)
    values = [*arguments["args"], *settings.values()]
    if len(values) == 3:
        dim = values.pop()
    if name not in ("chunk", "split", "split_with_sizes") or len(values) != 2 or dim != 1 or type(part) is not int:
        return None
    input, size = values
    index: Any
    if isinstance(size, tuple | list) and all(type(n) is int for n in size) and -len(size) <= part < len(size):
        part %= len(size)
        index = slice(sum(size[:part]), sum(size[: part + 1]))
    elif type(size) is int and size > 0:
        index = partial(_chunk if name == "chunk" else _split, part, size)
    else:
        return None
    return Call("channels", {"input": input, "index": index}, shares="some")


def channel(one: Mapping[str, Any], again: Mapping[str, Any]) -> Call | None:
    """What `unsqueeze(x[:, i], 1)` is, given the arguments of both calls; None: nothing known.

    That is how torchvision takes the colours of an image apart.
    """
    args, name = one["args"], name_of(one["function"])
    if one["kwargs"] or {**dict(enumerate(again["args"][1:])), **again["kwargs"]} not in ({0: 1}, {"dim": 1}):
        return None
    if name == "getitem" and isinstance(args[1], tuple) and len(args[1]) == 2 and args[1][0] == slice(None):
        index = args[1][1]
    elif name == "select" and len(args) == 3 and args[1] == 1:
        index = args[2]
    else:
        return None
    if type(index) is not int:
        return None
    return Call("channels", {"input": args[0], "index": slice(index, index + 1 or None)}, shares="some")


def _itself(input: Any) -> Call:
    return Call("identity", {"input": input}, shares="all")


def _copy(input: Any, *, memory_format: Any = None) -> Call:
    return Call("identity", {"input": input})


def _perhaps_copy(input: Any, *, memory_format: Any = None) -> Call:
    return Call("identity", {"input": input}, shares="some")


# Functions, and methods by name. An adapter has torch's signature; None: a form that the kind does not cover.
_ADAPTERS: dict[Any, Callable[..., Call | None]] = {
    F.conv2d: _conv,
    F.linear: _linear,
    **dict.fromkeys((F.relu, torch.relu, "relu"), _relu),
    **dict.fromkeys((F.relu_, torch.relu_, "relu_"), _relu_),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool),
    F.avg_pool2d: _avg_pool,
    F.adaptive_avg_pool2d: _adaptive_avg_pool,
    **dict.fromkeys((torch.mean, "mean"), _mean),
    F.local_response_norm: _lrn,
    lrn_within: _lrn_within,
    F.batch_norm: _batch_norm,
    torch.batch_norm: _inner_batch_norm,
    **dict.fromkeys(
        (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout), _dropout
    ),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat),
    **dict.fromkeys((torch.add, operator.add, "add"), _add),
    **dict.fromkeys((operator.iadd, "add_"), _add_),
    **dict.fromkeys((torch.mul, torch.multiply, operator.mul, "mul", "multiply"), _mul),
    **dict.fromkeys((operator.imul, "mul_", "multiply_"), _mul_),
    F.softmax: _softmax,
    **dict.fromkeys((torch.softmax, "softmax"), _softmax_method),
    operator.getitem: _getitem,
    F.channel_shuffle: _channel_shuffle,
    **dict.fromkeys((torch.detach, "detach"), _itself),
    **dict.fromkeys((torch.clone, "clone"), _copy),
    "contiguous": _perhaps_copy,
}
# Functions of others, by module and name, that torch.fx is told to record as one call.
_OF_OTHERS: dict[tuple[str, str], Callable[..., Call | None]] = {
    ("torchvision.ops.stochastic_depth", "stochastic_depth"): _stochastic_depth,
}
_RESHAPES = frozenset(
    {torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze}
    | {"flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view"}
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Element by element, of one operand or of several aligned ones; the trailing underscore of an in-place form is cut off.
_POINTWISE = _words(
    """abs add ceil celu clamp clamp_max clamp_min clip div divide elu erf exp expm1 floor gelu hardshrink hardsigmoid
    hardswish hardtanh imul ipow isub itruediv leaky_relu log log1p logsigmoid maximum minimum mish mul multiply neg
    negative pow reciprocal relu6 round rrelu rsqrt rsub selu sigmoid sign silu softplus softshrink softsign sqrt square
    sub subtract tanh tanhshrink threshold true_divide truediv"""
)
_POINTWISE_MODULES = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.RReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
_DROPOUT_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
# What torch documents as views, and what may return its input or a view of it.
_VIEWS = _words(
    """T H mT mH adjoint as_strided atleast_1d atleast_2d atleast_3d bfloat16 broadcast_tensors broadcast_to chunk conj
    contiguous cpu cuda data detach diagonal double dsplit expand expand_as flatten float getattr getitem half hsplit
    imag indices movedim moveaxis narrow permute positive ravel real reshape reshape_as resolve_conj resolve_neg select
    split split_with_sizes squeeze swapaxes swapdims t tensor_split to transpose type type_as unbind unflatten unfold
    unsqueeze values view view_as view_as_complex view_as_real vsplit"""
)
WRITING_OPERATORS = frozenset(
    getattr(operator, name)
    for name in _words("iadd iand ifloordiv ilshift imatmul imod imul ior ipow irshift isub itruediv ixor")
)
_SHAPES = _words("dim element_size is_contiguous len ndimension nelement numel size storage_offset stride")
_SHAPE_ATTRIBUTES = _words("device dtype is_cuda itemsize layout names nbytes ndim requires_grad shape")


def set_item(input: Any, index: Any, value: Any) -> Any:
    """`input[index] = value`, as a call."""
    input[index] = value
    return input


def _written(function: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The argument that a function or method overwrites, or None."""
    if kwargs.get("out") is not None:
        return kwargs["out"]
    in_place_name = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
    if in_place_name or function in WRITING_OPERATORS or function is set_item or kwargs.get("inplace"):
        return args[0] if args else kwargs.get("input")
    return None


# These functions write what they count into their arguments, without a name that says so.
_COUNTING = frozenset({F.batch_norm, torch.batch_norm, F.instance_norm, torch.instance_norm})


def on_copies(function: Callable[..., Any]) -> Callable[..., Any]:
    """An in-place function as one that leaves its arguments alone."""

    def run(*args: Any, **kwargs: Any) -> Any:
        copies: Any = fx.node.map_aggregate((args, kwargs), lambda x: x.clone() if isinstance(x, Tensor) else x)
        return function(*copies[0], **copies[1])

    run.__name__ = name_of(function)
    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


def is_shape_query(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether a call asks for a size, a dtype or the like, not for values."""
    if function is getattr:
        return len(args) > 1 and args[1] in _SHAPE_ATTRIBUTES
    return getattr(function, "__name__", "") in _SHAPES


def is_of_shape(function: Any) -> bool:
    """Whether a function, a method or the getter of an attribute gives a size, a dtype or the like, not values."""
    name = getattr(function, "__name__", "")
    if name == "__get__":
        name = getattr(function.__self__, "__name__", "")
        return name in _SHAPE_ATTRIBUTES or name.startswith("is_")
    return name in _SHAPES or name == "__len__" or (name.startswith("is_") and name != "is_nonzero")


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    call.__name__ = name
    return call


def name_of(function: Any) -> str:
    """The name of a function, a method or an operator of torch.ops."""
    name = function if isinstance(function, str) else getattr(function, "__name__", type(function).__name__)
    return name.split(".")[0]  # an operator's goes on with its overload: "chunk.default"


def torchs(function: Any) -> tuple[str, Any]:
    """What a call in its own form runs: the name of torch's own function, method or module, and that itself.

    Without the underscore of an in-place form; "" where it is not torch's.
    """
    while hasattr(function, "__wrapped__") and not isinstance(function, nn.Module):
        function = function.__wrapped__
    if isinstance(function, torch._ops.OpOverload):
        own = function._schema.name.startswith("aten::")
    else:  # the methods of this module call torch's
        own = _is_torch(function) or getattr(function, "__module__", "") == __name__
    return name_of(function).rstrip("_") if own else "", function


def is_pointwise(name: str) -> bool:
    """Whether torch's function of this name works element by element, of one operand or of several aligned ones."""
    return name.rstrip("_") in _POINTWISE


def may_view(name: str) -> bool:
    """Whether torch's function of this name may return an argument or a view of it."""
    return name in _VIEWS


def adapted(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """The call where a kind other than "reshape", "pointwise" and "other" covers it."""
    adapter = _ADAPTERS.get(function) if isinstance(function, Hashable) else None
    if adapter is None:
        adapter = _OF_OTHERS.get((getattr(function, "__module__", None) or "", name_of(function)))
    try:
        return None if adapter is None else adapter(*args, **kwargs)
    except TypeError:  # a form that the kind does not cover, `out=` for one
        return None


def of_function(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The call of a function, or of a method given by its name."""
    call = adapted(function, args, kwargs)
    if call is not None:
        return call
    name = name_of(function)
    if function == "view" and len(args) > 1 and not isinstance(args[1], torch.dtype):
        function = "reshape"  # an image with other strides than the model is used to may need a copy
    run = _method(function) if isinstance(function, str) else function
    writes = _written(function, name, args, kwargs)
    hashable = isinstance(function, Hashable)
    if writes is not None or (hashable and function in _COUNTING):
        run = on_copies(run)
    if hashable and function in _RESHAPES:
        kind = "reshape"
    else:
        kind = "pointwise" if is_pointwise(name) and _is_torch(function) else "other"
    arguments = {"function": run, "args": tuple(args), "kwargs": {k: v for k, v in kwargs.items() if k != "out"}}
    # A function that is not torch's may return anything, a view of its arguments included.
    return Call(kind, arguments, writes, "some" if may_view(name) or not _is_torch(function) else "nothing")


def _is_torch(function: Any) -> bool:
    """Whether a function, or a method's name, is torch's or Python's own."""
    module = getattr(function, "__module__", None) or type(function).__module__
    return isinstance(function, str) or module.split(".")[0] in ("torch", "_operator", "builtins", "math")


Constant = Callable[[str], Any]  # the name of a module's tensor -> what stands for it


def of_module(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], constant: Constant) -> Call:
    """The call of a torch.nn module, in eval mode."""
    if not args and set(kwargs) == {"input"}:
        args, kwargs = (kwargs["input"],), {}
    call = _of_module(module, args[0], constant) if len(args) == 1 and not kwargs else None
    if call is not None:
        return call
    pointwise = isinstance(module, _POINTWISE_MODULES)
    run: Callable[..., Any] = module
    writes = None
    if getattr(module, "inplace", False):
        run, writes = on_copies(module), args[0] if args else next(iter(kwargs.values()), None)
    arguments = {"function": run, "args": tuple(args), "kwargs": dict(kwargs)}
    shares = "nothing" if pointwise or writes is not None else "some"
    return Call("pointwise" if pointwise else "other", arguments, writes, shares)


def _of_module(module: Any, input: Any, constant: Constant) -> Call | None:
    def tensor(name: str) -> Any:
        return None if getattr(module, name, None) is None else constant(name)

    def settings(*names: str) -> dict[str, Any]:
        return {"input": input} | {name: getattr(module, name) for name in names}

    if isinstance(module, nn.Conv2d):
        arguments = settings("stride", "padding", "dilation", "groups", "padding_mode")
        return Call("conv", arguments | {"weight": tensor("weight"), "bias": tensor("bias")})
    if isinstance(module, nn.Linear):
        return Call("linear", {"input": input, "weight": tensor("weight"), "bias": tensor("bias")})
    if isinstance(module, nn.ReLU):
        return Call("relu", {"input": input}, writes=input if module.inplace else None)
    if isinstance(module, nn.MaxPool2d) and not module.return_indices:
        return Call("max_pool", settings("kernel_size", "stride", "padding", "dilation", "ceil_mode"))
    if isinstance(module, nn.AvgPool2d):
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        return Call("avg_pool", settings(*names))
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return Call("adaptive_avg_pool", settings("output_size"))
    if isinstance(module, nn.LocalResponseNorm):
        return Call("lrn", settings("size", "alpha", "beta", "k"))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm) and module.running_mean is not None:
        tensors = {name: tensor(name) for name in ("running_mean", "running_var", "weight", "bias")}
        return Call("batch_norm", settings("eps") | tensors)
    if isinstance(module, nn.Softmax) and module.dim is not None:
        return Call("softmax", settings("dim"))
    if isinstance(module, nn.ChannelShuffle):
        return _channel_shuffle(input, module.groups)
    if isinstance(module, (nn.Identity, *_DROPOUT_MODULES)):
        return Call("identity", {"input": input}, shares="all")
    if isinstance(module, nn.Flatten | nn.Unflatten):
        return Call("reshape", {"function": module, "args": (input,), "kwargs": {}}, shares="some")
    return None
