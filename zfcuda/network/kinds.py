"""The kinds of layer: one function each, with torch's argument names; the vocabulary that a network is written in.

A node of a Network has one of these kinds and its arguments by name. The kinds "reshape", "pointwise" and "other" keep
the call in its own form: the first changes the shape alone, the second works element by element, of the third nothing
is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from zfcuda import ops


def conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Tensor:
    if padding_mode == "zeros":
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    sides = both_sides(padding, weight, dilation)
    padded = F.pad(input, [*sides[1], *sides[0]], mode=padding_mode)
    return F.conv2d(padded, weight, bias, stride, 0, dilation, groups)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(input, weight, bias)


def relu(input: Tensor) -> Tensor:
    return F.relu(input)


def max_pool(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
    return F.adaptive_avg_pool2d(input, output_size)


def mean(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    return torch.mean(input, dim, keepdim)


def lrn(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    if input.ndim != 4:
        return F.local_response_norm(input, size, alpha, beta, k)
    return ops.local_response_norm(input, size, alpha, beta, k)


def lrn_within(input: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """input / (1 + alpha * m)^beta, m the mean of input^2 over the size x size window, with zeros around the map.

    Caffe's normalisation within a channel; size is odd.
    """
    if has_torch_function_unary(input):  # a stand-in, which records this as one call
        return handle_torch_function(lrn_within, (input,), input, size, alpha, beta)
    mean = F.avg_pool2d(input * input, size, 1, size // 2)
    return input * (1 + alpha * mean) ** -beta


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    # torch.nn.functional.batch_norm in its inner form: some releases of torch refuse eps 0 in the outer one alone.
    cudnn = torch.backends.cudnn.enabled
    return torch.batch_norm(input, weight, bias, running_mean, running_var, False, 0.0, eps, cudnn)


def cat(tensors: Any, dim: int = 0) -> Tensor:
    return torch.cat(tensors, dim)


def add(input: Any, other: Any) -> Any:
    return input + other


def mul(input: Any, other: Any) -> Any:
    return input * other


def softmax(input: Tensor, dim: int) -> Tensor:
    return torch.softmax(input, dim)


def channels(input: Tensor, index: Any) -> Tensor:
    """input[:, index]; index: a slice, a list of channel numbers, or a function from how many there are to either."""
    return input[:, index(input.shape[1]) if callable(index) else index]


def identity(input: Tensor) -> Tensor:
    return input


def apply(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A call in its own form, for the kinds "reshape", "pointwise" and "other"."""
    return function(*args, **kwargs)


KINDS: dict[str, Callable[..., Any]] = {
    form.__name__: form
    for form in (
        conv,
        linear,
        relu,
        max_pool,
        avg_pool,
        adaptive_avg_pool,
        mean,
        lrn,
        batch_norm,
        cat,
        add,
        mul,
        softmax,
        channels,
        identity,
        lrn_within,
    )
} | {"reshape": apply, "pointwise": apply, "other": apply}


def pair(value: Any) -> tuple[int, int]:
    """An int, or one or two of them -> (rows, columns)."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def window_stride(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """The stride of a pooling: the kernel size where none is given (None, or torch's empty list)."""
    stride = arguments["stride"]
    return pair(
        arguments["kernel_size"] if stride is None or (not isinstance(stride, int) and len(stride) == 0) else stride
    )


def both_sides(padding: Any, weight: Tensor, dilation: Any) -> list[tuple[int, int]]:
    """A convolution's padding as [(top, bottom), (left, right)], "same" and "valid" included."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        totals = [d * (size - 1) for d, size in zip(pair(dilation), weight.shape[2:], strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in pair(padding)]


def window_of(kind: str, arguments: Mapping[str, Any], i: int) -> tuple[int, int, int, int]:
    """Returns (kernel, stride, padding, dilation) of a layer of windows in dimension i; the padding is that before."""
    dilation = pair(arguments.get("dilation", 1))[i]
    if kind == "conv":
        padding = both_sides(arguments["padding"], arguments["weight"], arguments["dilation"])[i][0]
        return arguments["weight"].shape[2 + i], pair(arguments["stride"])[i], padding, dilation
    if kind == "lrn_within":
        return arguments["size"], 1, arguments["size"] // 2, 1
    kernel = pair(arguments["kernel_size"])[i]
    return kernel, window_stride(arguments)[i], pair(arguments["padding"])[i], dilation
