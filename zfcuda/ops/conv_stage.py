"""A convolution, ReLU, max pooling and perhaps local response normalisation, with one way back for all of them.

A pooled value's gradient belongs to one pixel of the convolution's output, its winner. So the gradients of the filters
and of the input are sums over the winners alone: with windows of stride 2 a quarter of the arithmetic, and the gradient
of the convolution's output, most of it zeros, is never written. In float32: of bfloat16 the processor multiplies pairs,
and the dense way back is as fast.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.autograd import forward_ad

from zfcuda.ops._common import Size, kernels, pair
from zfcuda.ops.stage import relu_max_pool2d_lrn
from zfcuda.ops.switches import max_pool2d_with_switches

Pool = tuple[Size, Size, Size, bool]  # kernel size, stride, padding, ceil mode
Norm = tuple[int, float, float, float]  # size, alpha, beta, k


def conv2d_stage(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    pool: Pool,
    norm: Norm | None = None,
) -> Tensor:
    """local_response_norm(max_pool2d(relu(conv2d(input, weight, bias)))), the first two layers of ZFNet; without norm
    max_pool2d(relu(conv2d(...))), its fifth.

    The way back is one kernel, and can be differentiated again. For what :func:`pays` accepts. Infinity and NaN of the
    input or the weight reach the gradients through the winners alone; torch's layers multiply them by the zeros of all
    other pixels too, which makes more NaN. For one number of threads the results are always the same; for another the
    last bits of the parameters' gradients differ.

    Args:
        input: float32 [N,C,H,W]; weight: float32 [O,C,kh,kw]; bias: float32 [O] or None.
        stride, padding: of the convolution.
        pool: of torch.nn.functional.max_pool2d.
        norm: of torch.nn.functional.local_response_norm.

    Returns:
        float32 [N,O,Ho,Wo], as the layers one after another give it.
    """
    result: Tensor = _Stage.apply(input, weight, bias, pair(stride), pair(padding), pool, norm)
    return result


def pays(input: Tensor, weight: Tensor, bias: Tensor | None, pool: Pool) -> bool:
    """Whether there is a way back at all, a kernel for it, and work enough for the threads that it is shared among.

    The kernel is the CPU's. Windows that overlap so much that most pixels win gain nothing by it.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    step = pair(pool[1])
    return (
        torch.is_grad_enabled()
        and weight.requires_grad
        and input.device.type == weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and all(x.dtype == torch.float32 for x in (input, weight, bias) if x is not None)
        and input.dim() == 4
        and len(input) >= torch.get_num_threads()
        and step[0] * step[1] >= 4
        and suggest_memory_format(input) == torch.channels_last
        # What has to follow each step: torch.func's transforms, forward mode.
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def _parts(
    input: Tensor, weight: Any, bias: Tensor | None, stride: Size, padding: Size, pool: Pool, norm: Norm | None
) -> Tensor:
    output = F.conv2d(input, weight, bias, stride, padding)
    if norm is None:
        return max_pool2d_with_switches(output, *pool, relu=True)[0]
    return relu_max_pool2d_lrn(output, *pool, size=norm[0], alpha=norm[1], beta=norm[2], k=norm[3])[0]


class _Stage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        pool: Pool,
        norm: Norm | None,
    ) -> Tensor:
        kernel, step, rim, ceil_mode = pair(pool[0]), pair(pool[1]), pair(pool[2]), pool[3]
        map = F.conv2d(input, weight, bias, stride, padding)
        if norm is None:
            output, switches = kernels.max_pool2d_with_switches(map, kernel, step, rim, ceil_mode, True)
            pooled = output.clone()  # a layer behind may write into the output, as into torch's
        else:
            output, switches, pooled = kernels.relu_max_pool2d_lrn(map, kernel, step, rim, ceil_mode, *norm, True)
        ctx.save_for_backward(input, weight, bias, switches, pooled)
        ctx.settings = stride, padding, pool, norm
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        input, weight, bias, switches, pooled = ctx.saved_tensors
        stride, padding, pool, norm = ctx.settings
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # to be differentiated again
            # By other names: the input may itself depend on the weight, where one layer runs twice.
            named: list[Any] = [None if x is None else x.view_as(x) for x in (input, weight, bias)]
            with torch.autocast(input.device.type, enabled=False):
                own = _parts(named[0], named[1], named[2], stride, padding, pool, norm)
            asked = [x for x, needed in zip(named, wanted, strict=True) if needed]
            found = iter(torch.autograd.grad(own, asked, grad, create_graph=True))
            return *[next(found) if needed else None for needed in wanted], None, None, None, None
        if norm is not None:
            grad = kernels.local_response_norm_backward(grad, pooled, *norm)
        kernel, step, rim = pair(pool[0]), pair(pool[1]), pair(pool[2])
        by_input, by_weight, by_bias = kernels.conv_backward_by_switch(
            grad, switches, pooled, input, weight, stride, padding, kernel, step, rim, wanted[0]
        )
        answer = (by_input, by_weight, by_bias)
        return *[x if needed else None for x, needed in zip(answer, wanted, strict=True)], None, None, None, None


@torch.library.register_fake("zfcuda::conv_backward_by_switch")
def _(
    grad: Tensor,
    switches: Tensor,
    gate: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: Any,
    padding: Any,
    pool_kernel_size: Any,
    pool_stride: Any,
    pool_padding: Any,
    input_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    last = torch.channels_last
    by_input = torch.empty_like(input, memory_format=last) if input_wanted else input.new_empty(0)
    by_weight = torch.empty_like(weight, memory_format=last)
    return by_input, by_weight, weight.new_empty(weight.shape[0])
