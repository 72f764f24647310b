"""Outliers: values of a map beside which its others would be lost in sums and differences.

Winograd's algorithm adds and subtracts an output's inputs before they meet their weights: what is infinite becomes NaN,
and what is very large leaves its rounding where its own weight is nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from zfcuda.network import Node
from zfcuda.network.calls import name_of

# How many times as large as the typical value. Natural maps stay far below, as images with their channels do; up to
# here what is left of an outlier is not seen among the sums of some hundred products.
_TIMES = 4096
_SAMPLE = 8192

# Functions, element by element, that give numbers of the order of what they get. torch's modules of this kind all do.
_EVEN = """
    abs add ceil celu clamp clamp_max clamp_min clip elu erf floor gelu hardshrink hardsigmoid hardswish hardtanh isub
    leaky_relu logsigmoid maximum minimum mish neg negative relu6 round rrelu rsub selu sigmoid sign silu softplus
    softshrink softsign sub subtract tanh tanhshrink threshold
"""
_QUOTIENTS = ("div", "divide", "itruediv", "true_divide", "truediv")
_PRODUCTS = ("imul", "mul", "multiply")


def limit(values: Tensor) -> float:
    """The magnitude from which a value of this map [1,C,H,W] is an outlier."""
    flat = values.permute(0, 2, 3, 1).reshape(-1)
    sample = flat[:: flat.numel() // _SAMPLE | 1].abs()  # odd: not always the same channels
    sample = sample[(sample > 0) & sample.isfinite()].double()
    largest = torch.finfo(values.dtype).max / 1024  # the sums themselves have to be finite
    return min(largest, _TIMES * float(sample.log().mean().exp())) if len(sample) else largest


def within(values: Tensor, most: float) -> bool:
    """Whether all values are numbers of at most this magnitude."""
    if values.numel() == 0:
        return True
    # Not torch.aminmax, which takes five times as long on a CPU.
    return bool((values.amax() <= most) & (values.amin() >= -most))


def may_arise(nodes: Sequence[Node], local: Collection[int], filled: Collection[int] = ()) -> set[int]:
    """The local maps in which windows may have outliers where the whole image has none.

    Layers that add with fixed weights, compare, limit or move keep the order of their numbers; quotients, powers and
    the like do not, and what follows may pass that on.

    local: the nodes that are local maps. filled: those of them that windows change by a number for all places.
    """
    found: set[int] = set()
    for node in nodes:
        steep = node.index in filled or _is_steep(node, local)
        if node.index in local and (steep or any(i in found for i in node.refs)):
            found.add(node.index)
    return found


def _is_steep(node: Node, local: Collection[int]) -> bool:
    several = sum(i in local for i in node.refs) > 1
    if node.kind == "mul":
        return several
    if node.kind == "lrn":
        return bool(node.arguments["k"] <= 0)
    if node.kind != "pointwise" or isinstance(node.arguments["function"], nn.Module):
        return False
    name = name_of(node.arguments["function"]).strip("_").lower()
    if name in _PRODUCTS:
        return several
    if name in _QUOTIENTS:
        return several or getattr(node.arguments["args"][0], "index", None) not in local
    return name not in _EVEN.split()
