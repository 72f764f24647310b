"""Local response normalisation across channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops._common import empty_like_format, kernels


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), as torch defines it.

    x / (k + alpha / size * sum of x^2 over size neighbouring channels) ** beta. Half precision is computed in float32.

    Args:
        input: [N,C,H,W], float32, float64, float16 or bfloat16; any strides.
        size: number of channels in the sum, at least 1.

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
    ctx.settings = inputs[1:]


def _lrn_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return kernels.local_response_norm_backward(grad, ctx.saved_tensors[0], *ctx.settings), None, None, None, None


torch.library.register_autograd("zfcuda::local_response_norm", _lrn_backward, setup_context=_save_lrn)


@torch.library.register_fake("zfcuda::local_response_norm_backward")
def _(grad: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return empty_like_format(input, input.shape)


def _save_lrn_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.settings = inputs[2:]


def _lrn_double_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    # Rare (gradient penalties), so differentiated through the definition instead of a kernel of its own.
    higher = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [x if x.requires_grad else x.detach().requires_grad_() for x in ctx.saved_tensors]
        result = reference.local_response_norm_backward(*inputs, *ctx.settings)
        gradients = torch.autograd.grad(result, inputs, grad, create_graph=higher)
    return *gradients, None, None, None, None


torch.library.register_autograd(
    "zfcuda::local_response_norm_backward", _lrn_double_backward, setup_context=_save_lrn_backward
)
