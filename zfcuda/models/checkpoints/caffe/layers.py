"""Caffe's layers as torch modules: one function per type, from its parameters and the shapes of what it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.models.checkpoints.caffe.norm import WithinChannelNorm
from zfcuda.network.kinds import batch_norm

Shape = tuple[int, ...]  # without the batch


class UnsupportedError(Exception):
    """A layer, or a setting of one, that there is no torch module for; the message says which."""


class Concat(nn.Module):
    """Maps one after the other: [N,C1,H,W], [N,C2,H,W], ... -> [N,C1+C2+...,H,W]."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1)


class Sum(nn.Module):
    """Tensors of one shape, added."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


class _AnyEps(nn.modules.batchnorm._NormBase):
    """Batch normalisation by the statistics that are kept, with eps 0 too, which some releases of torch.nn refuse."""

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.eps)


class BatchNorm(_AnyEps, nn.BatchNorm2d):
    """Caffe's batch normalisation of a map."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.BatchNorm2d.forward(self, x) if self.training else super().forward(x)


class BatchNorm1d(_AnyEps, nn.BatchNorm1d):
    """Caffe's batch normalisation of a vector."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.BatchNorm1d.forward(self, x) if self.training else super().forward(x)


class Scale(_AnyEps, nn.BatchNorm2d):
    """A factor and a shift per channel, in training too: a normalisation whose mean is 0 and whose variance is 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=0.0)


class Scale1d(_AnyEps, nn.BatchNorm1d):
    """A factor and a shift per number of a vector, as :class:`Scale` has them per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=0.0)


Build = Callable[[Any, Sequence[Shape]], nn.Module]


def make(kind: str, layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    """The module for a layer.

    Args:
        kind: its type as the present format spells it, "InnerProduct".
        layer: the message.
        inputs: the shapes of what it reads, without the batch.

    Raises:
        UnsupportedError: there is none for this type, or this setting.
    """
    if kind not in _BUILD:
        hint = "; a deploy prototxt is needed, not that of training" if _trains(kind) else ""
        raise UnsupportedError(f"layers of this type are not read{hint}")
    most = math.inf if kind in ("Concat", "Eltwise") else 1
    if not 1 <= len(inputs) <= most:
        raise UnsupportedError(f"it reads {len(inputs)} tensors")
    return _BUILD[kind](layer, inputs)


def _trains(kind: str) -> bool:
    return kind.endswith(("Data", "Loss", "Output")) or kind in ("Accuracy", "Data")


def _convolution(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p, channels = layer.convolution_param, _map(inputs)[0]
    kernel, stride, pad = (_sides(p, name, 2, default) for name, default in _WINDOW)
    dilation = _checked(_repeated(p.dilation, 1, "dilation"), "dilation")
    _positive(p.num_output, "num_output")
    if p.axis != 1:
        raise UnsupportedError(f"axis {p.axis}")
    if p.group < 1 or channels % p.group or p.num_output % p.group:
        raise UnsupportedError(f"{p.group} groups of {channels} input and {p.num_output} output channels")
    return nn.Conv2d(channels, p.num_output, kernel, stride, pad, dilation, p.group, bias=p.bias_term)


def _inner_product(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p, (shape,) = layer.inner_product_param, inputs
    _positive(p.num_output, "num_output")
    if p.axis != 1 or p.transpose:
        raise UnsupportedError(f"axis {p.axis}" if p.axis != 1 else "transposed weights")
    return nn.Linear(math.prod(shape), p.num_output, bias=p.bias_term)


def _relu(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    slope = layer.relu_param.negative_slope
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _pooling(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p, (_, *rest) = layer.pooling_param, _map(inputs)
    sides = (rest[0], rest[1])
    if p.global_pooling:
        kernel, stride, pad = sides, (1, 1), (0, 0)
    else:
        kernel, stride, pad = (_sides(p, name, 1, default) for name, default in _WINDOW)
    method = p.DESCRIPTOR.fields_by_name["pool"].enum_type.values_by_number[p.pool].name
    if method == "STOCHASTIC":
        raise UnsupportedError("stochastic pooling")
    if any(2 * b > k for k, b in zip(kernel, pad, strict=True)):
        raise UnsupportedError(f"padding {_spoken(pad)} is more than half of the window {_spoken(kernel)}")
    up = p.round_mode == 0
    expected = tuple(_pooled(*side, up) for side in zip(sides, kernel, stride, pad, strict=True))
    pool: nn.Module
    if method == "AVE" and p.global_pooling:
        return nn.AdaptiveAvgPool2d(1)
    if method == "AVE":  # torch's divisor is Caffe's: the window as far as it lies in the map and its padding
        pool = nn.AvgPool2d(kernel, stride, pad, ceil_mode=up, count_include_pad=True)
    else:
        pool = nn.MaxPool2d(_one(kernel), _one(stride), _one(pad), ceil_mode=up)
    got = tuple(pool(torch.empty(1, 1, *sides, device="meta")).shape[2:])
    if got != expected:  # windows that lie outside the map, which Caffe has where they step over pixels
        raise UnsupportedError(f"of {_spoken(sides)} it makes {_spoken(expected)} in Caffe, {_spoken(got)} in torch")
    return pool


def _pooled(length: int, kernel: int, stride: int, pad: int, up: bool) -> int:
    """How many windows Caffe has on one side: those that would start beyond the map are left out, with padding."""
    steps = length + 2 * pad - kernel
    windows = (-(-steps // stride) if up else steps // stride) + 1
    return windows - (pad > 0 and (windows - 1) * stride >= length + pad)


def _lrn(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p = layer.lrn_param
    _map(inputs)
    if p.local_size % 2 == 0:
        raise UnsupportedError(f"local_size: expected an odd number, got {p.local_size}")
    if p.norm_region == 1:
        return WithinChannelNorm(p.local_size, p.alpha, p.beta)
    return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)


def _dropout(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    return nn.Dropout(layer.dropout_param.dropout_ratio)


def _softmax(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    return nn.Softmax(_channels(layer.softmax_param.axis))


def _concat(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p = layer.concat_param
    _channels(p.concat_dim if p.HasField("concat_dim") else p.axis)
    return Concat()


def _eltwise(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p = layer.eltwise_param
    if p.operation != 1 or any(c != 1 for c in p.coeff):
        raise UnsupportedError("only a sum with coefficients 1 is read")
    if len(set(inputs)) != 1:
        raise UnsupportedError(f"a sum of {' and '.join(map(_spoken, inputs))}")
    return Sum()


def _batch_norm(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    kind = BatchNorm if len(inputs[0]) == 3 else BatchNorm1d
    return kind(inputs[0][0], eps=layer.batch_norm_param.eps, affine=False)


def _scale(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p = layer.scale_param
    if p.num_axes != 1:
        raise UnsupportedError(f"num_axes {p.num_axes}")
    _channels(p.axis)
    return Scale(inputs[0][0]) if len(inputs[0]) == 3 else Scale1d(inputs[0][0])


def _flatten(layer: Any, inputs: Sequence[Shape]) -> nn.Module:
    p = layer.flatten_param
    if (p.axis, p.end_axis) != (1, -1):
        raise UnsupportedError(f"axis {p.axis} to {p.end_axis}")
    return nn.Flatten()


_BUILD: dict[str, Build] = {
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _dropout,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Scale": _scale,
    "Softmax": _softmax,
}

# ---------------------------------------------------------------- parameters

_WINDOW = (("kernel", None), ("stride", 1), ("pad", 0))


def _sides(p: Any, name: str, most: int, default: int | None) -> tuple[int, int]:
    """kernel, stride or pad as (rows, columns): "kernel_size" for both, or "kernel_h" and "kernel_w".

    most: how many values the common field may hold, one for each side.
    """
    both = "kernel_size" if name == "kernel" else name
    given = [p.HasField(f"{name}_{side}") for side in "hw"]
    if any(given):
        if not all(given):
            raise UnsupportedError(f"{name}_h without {name}_w, or the reverse")
        return _checked((getattr(p, f"{name}_h"), getattr(p, f"{name}_w")), name)
    values = list(getattr(p, both)) if most > 1 else [getattr(p, both)] if p.HasField(both) else []
    if not values and default is None:
        raise UnsupportedError(f"{both} is missing")
    return _checked(_repeated(values, default, both), both)


def _checked(sides: tuple[int, int], name: str) -> tuple[int, int]:
    if name != "pad":
        _positive(min(sides), name)
    return sides


def _repeated(values: Sequence[int], default: int | None, name: str) -> tuple[int, int]:
    if len(values) > 2:
        raise UnsupportedError(f"{name} has {len(values)} values, for a picture it has one or two")
    first = values[0] if len(values) else default
    assert first is not None
    return first, (values[1] if len(values) == 2 else first)


def _positive(value: int, name: str) -> None:
    if value < 1:
        raise UnsupportedError(f"{name}: expected at least 1, got {value}")


def _channels(axis: int) -> int:
    if axis != 1:
        raise UnsupportedError(f"axis {axis}, not that of the channels")
    return 1


def _map(inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 3:
        raise UnsupportedError(f"it reads {_spoken(inputs[0])}, not maps")
    return inputs[0]


def _one(sides: tuple[int, int]) -> Any:
    return sides[0] if sides[0] == sides[1] else sides


def _spoken(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
