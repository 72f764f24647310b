"""ReLU, max pooling with switches and local response normalisation in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops._common import Size, empty_like_format, kernels, pair, pooled_length
from zfcuda.ops._derivatives import batched, differentiable


def relu_max_pool2d_lrn(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    *,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """ReLU, max pooling with switches and local response normalisation in one pass over a convolution's output.

    local_response_norm(max_pool2d(relu(input))), the stage that follows conv1 and conv2 of ZFNet (Zeiler & Fergus,
    Fig. 3).

    Args:
        input: [N,C,H,W], float32, float64, float16 or bfloat16; any strides.
        kernel_size, stride, padding, ceil_mode: as in max_pool2d_with_switches.
        size, alpha, beta, k: as in local_response_norm.

    Returns:
        (output, switches), both [N,C,Ho,Wo] in the input's memory format: output in its dtype, switches uint8.

    Raises:
        RuntimeError: naming the argument and its value, where a size or dtype is refused.
    """
    kernel = pair(kernel_size)
    output, switches, _ = kernels.relu_max_pool2d_lrn(
        input,
        kernel,
        kernel if stride is None else pair(stride),
        pair(padding),
        ceil_mode,
        size,
        alpha,
        beta,
        k,
        False,  # the derivatives ask for it themselves
    )
    return output, switches


def relu_max_pool2d_lrn_with_pooled(
    input: Tensor,
    kernel_size: Size,
    stride: Size,
    padding: Size,
    ceil_mode: bool,
    *,
    size: int,
    alpha: float,
    beta: float,
    k: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, with what the way back of the normalisation needs: (output, switches, max_pool2d(relu(input)))."""
    return kernels.relu_max_pool2d_lrn(
        input, pair(kernel_size), pair(stride), pair(padding), ceil_mode, size, alpha, beta, k, True
    )


@torch.library.register_fake("zfcuda::relu_max_pool2d_lrn")
def _(
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    keep_pooled: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = [*input.shape[:2]] + [
        pooled_length(input.shape[2 + i], kernel_size[i], stride[i], padding[i], ceil_mode) for i in (0, 1)
    ]
    pooled = empty_like_format(input, shape) if keep_pooled else input.new_empty(0)
    return empty_like_format(input, shape), empty_like_format(input, shape, torch.uint8), pooled


def _save_stage(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    input, ctx.kernel_size, ctx.stride, ctx.padding, _, *ctx.settings, _ = inputs
    ctx.output_size = input.shape[2:]
    ctx.save_for_backward(output[1], output[2])
    ctx.save_for_forward(output[1], output[2])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _stage_backward(ctx: Any, grad: Tensor | None, _: None, grad_pooled: Tensor | None) -> tuple[Any, ...]:
    # pooled is an output with a gradient of its own, so that a second derivative flows through it.
    switches, pooled = ctx.saved_tensors
    if grad is not None:
        inner = kernels.local_response_norm_backward(grad, pooled, *ctx.settings)
        grad_pooled = inner if grad_pooled is None else inner + grad_pooled
    if grad_pooled is None:
        return (None,) * 10
    gradient = kernels.max_unpool2d(
        grad_pooled, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, pooled
    )
    return gradient, *[None] * 9


def _stage_forward(ctx: Any, saved: Any, tangent: Tensor, *_: None) -> tuple[Tensor, None, Tensor]:
    switches, pooled = saved
    change = kernels.gather_by_switch(tangent, switches, ctx.kernel_size, ctx.stride, ctx.padding, pooled)
    return reference.local_response_norm_tangent(change, pooled, *ctx.settings), None, change


def _with_pooled(*args: Any) -> tuple[Any, ...]:
    return *args[:-1], True


differentiable(
    "relu_max_pool2d_lrn", save=_save_stage, backward=_stage_backward, forward=_stage_forward, asked=_with_pooled
)
batched("relu_max_pool2d_lrn")
