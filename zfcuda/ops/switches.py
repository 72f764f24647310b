"""Max pooling that records its switches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, empty_like_format, kernels, pair, pooled_length
from zfcuda.ops._derivatives import batched, differentiable


def max_pool2d_with_switches(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    *,
    relu: bool = False,
) -> tuple[Tensor, Tensor]:
    """Max pooling that also says which element of each window won (Zeiler & Fergus, section 2.1, "switches").

    Args:
        input: [N,C,H,W], float32, float64, float16 or bfloat16; any strides.
        kernel_size, stride, padding: int or (rows, columns); stride None means kernel_size; kernel_size at most 256
            elements.
        ceil_mode: as in torch.nn.functional.max_pool2d.
        relu: pool relu(input) instead, in the same pass: a window with nothing positive gives 0 and the switch of its
            first element inside the map, and no gradient.

    Returns:
        (output, switches), both [N,C,Ho,Wo] in the input's memory format; output in its dtype, equal to torch's
        max_pool2d with NaN and ties included; switches uint8, the row-major offset ky * kw + kx of the winner.

    Raises:
        RuntimeError: naming the argument and its value, where a size or dtype is refused.
    """
    kernel = pair(kernel_size)
    return kernels.max_pool2d_with_switches(
        input, kernel, kernel if stride is None else pair(stride), pair(padding), ceil_mode, relu
    )


@torch.library.register_fake("zfcuda::max_pool2d_with_switches")
def _(input: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, relu: bool) -> tuple[Tensor, Tensor]:
    shape = [*input.shape[:2]] + [
        pooled_length(input.shape[2 + i], kernel_size[i], stride[i], padding[i], ceil_mode) for i in (0, 1)
    ]
    return empty_like_format(input, shape), empty_like_format(input, shape, torch.uint8)


def _save_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, ctx.kernel_size, ctx.stride, ctx.padding, _, relu = inputs
    ctx.output_size = input.shape[2:]
    kept = output[1], output[0] if relu else None
    ctx.save_for_backward(*kept)
    ctx.save_for_forward(*kept)
    ctx.mark_non_differentiable(output[1])


def _pool_backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = kernels.max_unpool2d(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate)
    return gradient, None, None, None, None, None


def _pool_forward(ctx: Any, saved: Any, tangent: Tensor, *_: None) -> tuple[Tensor, None]:
    switches, gate = saved
    return kernels.gather_by_switch(tangent, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate), None


differentiable("max_pool2d_with_switches", save=_save_pool, backward=_pool_backward, forward=_pool_forward)
batched("max_pool2d_with_switches")
