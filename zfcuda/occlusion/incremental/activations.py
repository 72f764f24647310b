"""Smooth rectifiers, which a convolution takes along: written over what nobody else reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.network import Node

Activation = Callable[[Tensor], Tensor]


def activation_of(node: Node) -> Activation | None:
    """What computes a node's function in the memory of its operand; None: it is none of these, or reads more maps."""
    if node.kind != "pointwise" or len(node.refs) != 1:
        return None
    function, args, kwargs = (node.arguments[name] for name in ("function", "args", "kwargs"))
    function = function if isinstance(function, nn.Module) else inspect.unwrap(function)
    kind = type(function) if isinstance(function, nn.Module) else function
    if len(args) + len(kwargs.keys() - {"inplace"}) != 1 or getattr(function, "approximate", "none") != "none":
        return None
    return _IN_PLACE.get(kind)


def _silu(values: Tensor) -> Tensor:
    return F.silu(values, inplace=True)


def _hardswish(values: Tensor) -> Tensor:
    return F.hardswish(values, inplace=True)


def _gelu(values: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.gelu.out(values, out=values)
    return result


_IN_PLACE: dict[object, Activation] = {
    nn.SiLU: _silu,
    F.silu: _silu,
    nn.Hardswish: _hardswish,
    F.hardswish: _hardswish,
    nn.GELU: _gelu,
    F.gelu: _gelu,
}
