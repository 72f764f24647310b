"""Local response normalisation across channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops._common import empty_like_format, kernels
from zfcuda.ops._derivatives import batched, differentiable


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), as torch defines it.

    x / (k + alpha / size * sum of x^2 over size neighbouring channels) ** beta. Half precision is computed in float32.

    Args:
        input: [N,C,H,W], float32, float64, float16 or bfloat16; any strides.
        size: number of channels in the sum, at least 1.
        alpha, beta, k: of the formula.

    Returns:
        [N,C,H,W], input's dtype and memory format.

    Raises:
        RuntimeError: naming the argument and its value, where a size or dtype is refused.
    """
    return kernels.local_response_norm(input, size, alpha, beta, k)


@torch.library.register_fake("zfcuda::local_response_norm")
def _(input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return empty_like_format(input, input.shape)


def _save_lrn(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.save_for_forward(inputs[0])
    ctx.settings = inputs[1:]


def _lrn_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return kernels.local_response_norm_backward(grad, ctx.saved_tensors[0], *ctx.settings), None, None, None, None


def _lrn_forward(ctx: Any, saved: Any, tangent: Tensor, *_: None) -> Tensor:
    return reference.local_response_norm_tangent(tangent, *saved, *ctx.settings)


differentiable("local_response_norm", save=_save_lrn, backward=_lrn_backward, forward=_lrn_forward)
batched("local_response_norm")


def local_response_norm_backward(grad: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """The gradient by the input, [N,C,H,W], from that by the output of local_response_norm(input, ...)."""
    return kernels.local_response_norm_backward(grad, input, size, alpha, beta, k)


@torch.library.register_fake("zfcuda::local_response_norm_backward")
def _(grad: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return empty_like_format(input, input.shape)


def _save_lrn_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.save_for_forward(*inputs[:2])
    ctx.settings = inputs[2:]


# Rare (gradient penalties, Hessians), so in plain torch, which differentiates them further, instead of kernels.
def _lrn_backward_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    earlier, input = ctx.saved_tensors
    by_input = reference.local_response_norm_backward_tangent(None, grad, earlier, input, *ctx.settings)
    by_grad = reference.local_response_norm_tangent(grad, input, *ctx.settings)
    return by_grad, by_input, None, None, None, None


def _lrn_backward_forward(
    ctx: Any, saved: Any, grad_tangent: Tensor | None, tangent: Tensor | None, *_: None
) -> Tensor:
    return reference.local_response_norm_backward_tangent(grad_tangent, tangent, *saved, *ctx.settings)


differentiable(
    "local_response_norm_backward",
    save=_save_lrn_backward,
    backward=_lrn_backward_backward,
    forward=_lrn_backward_forward,
)
batched("local_response_norm_backward")
