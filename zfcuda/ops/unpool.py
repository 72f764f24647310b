"""Unpooling through switches, and its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, empty_like_format, kernels, pair
from zfcuda.ops._derivatives import batched, differentiable


def max_unpool2d(
    input: Tensor,
    switches: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    *,
    output_size: Sequence[int],
) -> Tensor:
    """Unpooling through switches (Zeiler & Fergus, section 2.1, Fig. 1): each value returns to where its maximum was.

    An output pixel is the sum over all windows whose switch points at it: overlapping windows add up, in a fixed order,
    so that the result is deterministic. (torch.nn.functional.max_unpool2d overwrites where windows overlap; a
    well-known note fills the whole window with the value. Neither is the transpose of pooling.)

    Args:
        input: [N,C,Ho,Wo], float32, float64, float16 or bfloat16; any strides.
        switches: uint8 [N,C,Ho,Wo], from max_pool2d_with_switches. One beyond its window or the output adds nothing.
        kernel_size, stride, padding: those of the pooling.
        output_size: (H, W) of the map that was pooled.

    Returns:
        [N,C,H,W], input's dtype and memory format.

    Raises:
        RuntimeError: naming the argument and its value, where a shape, size or dtype is refused.
    """
    kernel = pair(kernel_size)
    return kernels.max_unpool2d(
        input, switches, kernel, kernel if stride is None else pair(stride), pair(padding), list(output_size)
    )


def max_unpool2d_gated(
    input: Tensor,
    switches: Tensor,
    gate: Tensor,
    kernel_size: Size,
    stride: Size,
    padding: Size,
    *,
    output_size: Sequence[int],
) -> Tensor:
    """The same of the values whose gate, [N,C,Ho,Wo] of input's dtype, is positive; the others count for nothing."""
    return kernels.max_unpool2d(
        input, switches, pair(kernel_size), pair(stride), pair(padding), list(output_size), gate
    )


@torch.library.register_fake("zfcuda::max_unpool2d")
def _(
    input: Tensor, switches: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any, gate: Any = None
) -> Tensor:
    return empty_like_format(input, [*input.shape[:2], *output_size])


def _save_unpool(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate = inputs
    ctx.save_for_backward(switches, gate)
    ctx.save_for_forward(switches, gate)


def _unpool_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = kernels.gather_by_switch(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate)
    return gradient, None, None, None, None, None, None


def _unpool_forward(ctx: Any, saved: Any, tangent: Tensor, *_: None) -> Tensor:
    switches, gate = saved
    return kernels.max_unpool2d(tangent, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate)


differentiable("max_unpool2d", save=_save_unpool, backward=_unpool_backward, forward=_unpool_forward)
batched("max_unpool2d")


@torch.library.register_fake("zfcuda::gather_by_switch")
def _(input: Tensor, switches: Tensor, kernel_size: Any, stride: Any, padding: Any, gate: Any = None) -> Tensor:
    return empty_like_format(switches, switches.shape, input.dtype)


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate = inputs
    ctx.output_size = input.shape[2:]
    ctx.save_for_backward(switches, gate)
    ctx.save_for_forward(switches, gate)


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = kernels.max_unpool2d(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate)
    return gradient, None, None, None, None, None


def _gather_forward(ctx: Any, saved: Any, tangent: Tensor, *_: None) -> Tensor:
    switches, gate = saved
    return kernels.gather_by_switch(tangent, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate)


differentiable("gather_by_switch", save=_save_gather, backward=_gather_backward, forward=_gather_forward)
batched("gather_by_switch")
