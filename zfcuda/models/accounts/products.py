"""How many multiply-adds an operator of torch takes: those of convolutions and of products of matrices and vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

# An operator of torch's with such a name that is not in the table below multiplies in a way that is not known here.
_MULTIPLIES = re.compile(
    r"(^|_)(\w*mm|\w*mv|v?dot|addr|linear|\w*matmul|\w*convolution\w*|\w*conv|rnn|lstm|gru|\w*attention|trilinear)($|_)"
)
_MOVES = re.compile(r"upsample|convert_weight|fused_(lstm|gru)_cell")  # named so, but no products
_OWN = ("aten", "prim", "prims", "zfcuda")


def _matrices(result: Tensor, a: Tensor, b: Tensor) -> int:
    """[...,n,k] x [...,k,m]"""
    return result.numel() * a.shape[-1]


def _convolution(result: Tensor, x: Tensor, weight: Tensor, *settings: Any) -> int:
    """A transposed convolution multiplies each input with each of its weights, any other each output."""
    transposed = len(settings) > 4 and settings[4] is True
    return (x if transposed else result).numel() * weight[0].numel()


def _vectors(result: Tensor, a: Tensor, b: Tensor) -> int:
    """[n,k] x [k], or [k] x [k]"""
    return a.numel()


def _outer(result: Tensor, a: Tensor, b: Tensor) -> int:
    return result.numel()


def _attention(result: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    """Query times key, and that times value: [N,heads,L,E], [N,heads,S,E], [N,heads,S,V]."""
    pairs = query.shape[:-1].numel() * key.shape[-2]
    return pairs * (query.shape[-1] + value.shape[-1])


def _recurrent(x: Tensor, weights: Sequence[Any]) -> int:
    """Every matrix multiplies every step of every sequence: [steps,N,I], or [steps of all,I] where they are packed."""
    return x.shape[:-1].numel() * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _onednn_recurrent(result: Any, x: Tensor, *weights: Any) -> int:
    return _recurrent(x, weights[:4])


def _cudnn_recurrent(result: Any, x: Tensor, weights: Sequence[Tensor], *_: Any) -> int:
    return _recurrent(x, weights)


# Which of an operator's arguments the formula takes, and the formula.
_FORMULAS: dict[str, tuple[slice, Callable[..., int]]] = {
    **dict.fromkeys(("mm", "bmm", "_int_mm", "_scaled_mm"), (slice(0, 2), _matrices)),
    **dict.fromkeys(("addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"), (slice(1, 3), _matrices)),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), (slice(None), _convolution)),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        (slice(None), _attention),
    ),
    "mkldnn_rnn_layer": (slice(None), _onednn_recurrent),
    "_cudnn_rnn": (slice(None), _cudnn_recurrent),
}
_OF_VECTORS: dict[str, tuple[slice, Callable[..., int]]] = {
    **dict.fromkeys(("mv", "dot", "vdot"), (slice(0, 2), _vectors)),
    **dict.fromkeys(("addmv", "addmv_"), (slice(1, 3), _vectors)),
    **dict.fromkeys(("addr", "addr_"), (slice(1, 3), _outer)),
    "addbmm": (slice(1, 3), lambda result, a, b: prod(a.shape) * b.shape[-1]),
}


def multiply_adds(operator: Any, args: tuple[Any, ...], result: Any, vectors: bool = True) -> int | None:
    """The multiply-adds of one call of an operator; None: they are not known.

    Sums, element-wise products, pooling, normalisation and interpolation count none.

    Args:
        operator: an operator of torch.ops, or one of higher order.
        args, result: what it was called with, and what it gave.
        vectors: whether the products of a vector count.
    """
    if not isinstance(operator, torch._ops.OpOverload):
        return None
    space, name = operator._schema.name.split("::")
    if space not in _OWN:
        return None if any(map(_is_number, tree_leaves(result))) else 0
    if name in _OF_VECTORS and not vectors:
        return 0
    taken, formula = {**_FORMULAS, **_OF_VECTORS}.get(name, (None, None))
    if taken is None or formula is None:
        return None if _MULTIPLIES.search(name) and not _MOVES.search(name) else 0
    if any(x.layout != torch.strided or x.is_nested for x in tree_leaves((args, result)) if isinstance(x, Tensor)):
        return None
    return formula(result, *args[taken])


def _is_number(x: Any) -> bool:
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex() or x.is_quantized)
