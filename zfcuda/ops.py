"""The operators: one typed function each, with its fake kernel (shapes, for torch.compile) and its gradient.
The only file that touches ``torch.ops.zfcuda``. Arguments are checked once, in csrc/zfcuda.cpp.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from zfcuda import _build, reference

_C = _build.load()  # registers the schemas and the compiled kernels
_ops = torch.ops.zfcuda

Size = int | Sequence[int]


def _pair(value: Size) -> list[int]:
    """int -> [v, v]; the checks in C++ refuse everything that has not two elements."""
    return [value, value] if isinstance(value, int) else list(value)


# ---------------------------------------------------------------- max pooling with switches


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
            first element inside the picture, and no gradient.

    Returns:
        (output, switches), both [N,C,Ho,Wo] in the input's memory format; output in its dtype, equal to torch's
        max_pool2d with NaN and ties included; switches uint8, the row-major offset ky * kw + kx of the winner.

    Raises:
        RuntimeError: naming the argument and its value, where a size or dtype is refused.
    """
    kernel = _pair(kernel_size)
    return _ops.max_pool2d_with_switches(
        input, kernel, kernel if stride is None else _pair(stride), _pair(padding), ceil_mode, relu
    )


def _pooled_length(length: Any, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Any:
    out = (length + 2 * padding - kernel + (stride - 1 if ceil_mode else 0)) // stride + 1
    # The last window has to start inside the picture or its left padding.
    return out - 1 if ceil_mode and (out - 1) * stride >= length + padding else out


def _empty_like_format(input: Tensor, shape: Sequence[Any], dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(
        shape, dtype=dtype or input.dtype, device=input.device, memory_format=suggest_memory_format(input)
    )


@torch.library.register_fake("zfcuda::max_pool2d_with_switches")
def _(input: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, relu: bool) -> tuple[Tensor, Tensor]:
    shape = [*input.shape[:2]] + [
        _pooled_length(input.shape[2 + i], kernel_size[i], stride[i], padding[i], ceil_mode) for i in (0, 1)
    ]
    return _empty_like_format(input, shape), _empty_like_format(input, shape, torch.uint8)


def _save_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, ctx.kernel_size, ctx.stride, ctx.padding, _, relu = inputs
    ctx.output_size = input.shape[2:]
    ctx.save_for_backward(output[1], output[0] if relu else None)
    ctx.mark_non_differentiable(output[1])


def _pool_backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = _ops.max_unpool2d(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate)
    return gradient, None, None, None, None, None


torch.library.register_autograd("zfcuda::max_pool2d_with_switches", _pool_backward, setup_context=_save_pool)


# ---------------------------------------------------------------- unpooling


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
        output_size: (H, W) of the pooled picture.

    Returns:
        [N,C,H,W], input's dtype and memory format.

    Raises:
        RuntimeError: naming the argument and its value, where a shape, size or dtype is refused.
    """
    kernel = _pair(kernel_size)
    return _ops.max_unpool2d(
        input, switches, kernel, kernel if stride is None else _pair(stride), _pair(padding), list(output_size)
    )


@torch.library.register_fake("zfcuda::max_unpool2d")
def _(
    input: Tensor, switches: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any, gate: Any = None
) -> Tensor:
    return _empty_like_format(input, [*input.shape[:2], *output_size])


def _save_unpool(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, switches, ctx.kernel_size, ctx.stride, ctx.padding, _, gate = inputs
    ctx.save_for_backward(switches, gate)


def _unpool_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = _ops.gather_by_switch(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate)
    return gradient, None, None, None, None, None, None


torch.library.register_autograd("zfcuda::max_unpool2d", _unpool_backward, setup_context=_save_unpool)


@torch.library.register_fake("zfcuda::gather_by_switch")
def _(input: Tensor, switches: Tensor, kernel_size: Any, stride: Any, padding: Any, gate: Any = None) -> Tensor:
    return _empty_like_format(switches, switches.shape, input.dtype)


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, switches, ctx.kernel_size, ctx.stride, ctx.padding, gate = inputs
    ctx.output_size = input.shape[2:]
    ctx.save_for_backward(switches, gate)


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    switches, gate = ctx.saved_tensors
    gradient = _ops.max_unpool2d(grad, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, gate)
    return gradient, None, None, None, None, None


torch.library.register_autograd("zfcuda::gather_by_switch", _gather_backward, setup_context=_save_gather)


# ---------------------------------------------------------------- local response normalisation


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
    return _ops.local_response_norm(input, size, alpha, beta, k)


@torch.library.register_fake("zfcuda::local_response_norm")
def _(input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _empty_like_format(input, input.shape)


def _save_lrn(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.settings = inputs[1:]


def _lrn_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return _ops.local_response_norm_backward(grad, ctx.saved_tensors[0], *ctx.settings), None, None, None, None


torch.library.register_autograd("zfcuda::local_response_norm", _lrn_backward, setup_context=_save_lrn)


@torch.library.register_fake("zfcuda::local_response_norm_backward")
def _(grad: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _empty_like_format(input, input.shape)


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


# ---------------------------------------------------------------- the fused stage


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
    kernel = _pair(kernel_size)
    output, switches, _ = _ops.relu_max_pool2d_lrn(
        input,
        kernel,
        kernel if stride is None else _pair(stride),
        _pair(padding),
        ceil_mode,
        size,
        alpha,
        beta,
        k,
        torch.is_grad_enabled() and input.requires_grad,
    )
    return output, switches


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
        _pooled_length(input.shape[2 + i], kernel_size[i], stride[i], padding[i], ceil_mode) for i in (0, 1)
    ]
    pooled = _empty_like_format(input, shape) if keep_pooled else input.new_empty(0)
    return _empty_like_format(input, shape), _empty_like_format(input, shape, torch.uint8), pooled


def _save_stage(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    input, ctx.kernel_size, ctx.stride, ctx.padding, _, *ctx.settings, _ = inputs
    ctx.output_size = input.shape[2:]
    ctx.save_for_backward(output[1], output[2])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _stage_backward(ctx: Any, grad: Tensor | None, _: None, grad_pooled: Tensor | None) -> tuple[Any, ...]:
    # pooled is an output with a gradient of its own, so that a second derivative flows through it.
    switches, pooled = ctx.saved_tensors
    if grad is not None:
        inner = _ops.local_response_norm_backward(grad, pooled, *ctx.settings)
        grad_pooled = inner if grad_pooled is None else inner + grad_pooled
    if grad_pooled is None:
        return (None,) * 10
    gradient = _ops.max_unpool2d(
        grad_pooled, switches, ctx.kernel_size, ctx.stride, ctx.padding, ctx.output_size, pooled
    )
    return gradient, *[None] * 9


torch.library.register_autograd("zfcuda::relu_max_pool2d_lrn", _stage_backward, setup_context=_save_stage)


# ---------------------------------------------------------------- occlusion


def occlude(image: Tensor, fill: Tensor, origins: Tensor, window: Size) -> Tensor:
    """One picture, many occluders: picture i of the result is image with one window replaced (Zeiler & Fergus, 4.2).

    Args:
        image: [C,H,W], float32, float64, float16 or bfloat16; any strides.
        fill: what stands in the window, broadcastable to image, of its dtype and device.
        origins: int64 [n,2], (y, x) of each window's first pixel; a window is cut off at the border.
        window: int or (rows, columns).

    Returns:
        [n,C,H,W], image's dtype, channels_last where image is (as [1,C,H,W]).

    Raises:
        RuntimeError: naming the argument and its value, where a shape, size or dtype is refused.
    """
    return _ops.occlude(image, fill, origins, _pair(window))


@torch.library.register_fake("zfcuda::occlude")
def _(image: Tensor, fill: Tensor, origins: Tensor, window: Any) -> Tensor:
    return _empty_like_format(image.unsqueeze(0), [origins.shape[0], *image.shape])


# ---------------------------------------------------------------- maps that differ from a base in one rectangle


def gather_patches(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int, fill: float = 0.0) -> Tensor:
    """Any rectangle of n maps that equal base except in one rectangle each, of which only that one is kept.

    Where an occluder hides a part of a picture, a layer changes within one rectangle; the next layer reads that
    rectangle and what lies around it. Row (i, y, x) of the result is fill outside the map, the row of patches where
    have[i] holds the position, base[0, :, y, x] elsewhere.

    Args:
        base: [1,C,H,W], float32, float64, float16 or bfloat16; any strides, channels_last without a copy.
        patches: [P,C], base's dtype and device: a row per position kept.
        have: int64 [n,5], (top, left, bottom, right, start): patches holds positions top <= y < bottom,
            left <= x < right of map i, row-major, from row start on. Empty where bottom <= top or right <= left.
        want: int64 [n,5], the same of the result. A rectangle may reach beyond the map on every side; starts follow
            each other: start[i + 1] = start[i] + area[i], start[0] = 0.
        rows: of the result: the sum of the areas.
        fill: what stands outside the map (the next layer's padding).

    Returns:
        [rows,C], base's dtype. Not differentiable.

    Raises:
        RuntimeError: naming the argument and its value, where a shape, dtype or device is refused; on the CPU also
            naming the window, where have or want is not as said above. On a GPU, which would have to wait to know, a
            position whose row is not in patches, and a row that no window wants, become fill.
    """
    return _ops.gather_patches(base, patches, have, want, rows, fill)


@torch.library.register_fake("zfcuda::gather_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, fill: float) -> Tensor:
    return base.new_empty((rows, base.shape[1]))


def unfold_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Tensor:
    """What a layer of windows reads of n maps that equal base except in one rectangle each (im2col, for those alone).

    A matrix product of it with the filters is the convolution of patches of all sizes at once.

    Args:
        base, patches, have: as in gather_patches.
        want: int64 [n,5], as there, of the output's positions; they lie inside the output map, for which padding may be
            one line more after the map than before, as padding="same" has it with an even kernel.
        rows: of the result: the sum of want's areas.
        kernel_size, stride, padding, dilation: int or (rows, columns), as in torch.nn.functional.conv2d.

    Returns:
        [rows, kh*kw*C], base's dtype: the positions of a window row-major, the channels of each together, 0 outside the
        map. Not differentiable.

    Raises:
        RuntimeError: as gather_patches.
    """
    return _ops.unfold_patches(
        base, patches, have, want, rows, _pair(kernel_size), _pair(stride), _pair(padding), _pair(dilation)
    )


@torch.library.register_fake("zfcuda::unfold_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, kernel_size: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, base.shape[1] * kernel_size[0] * kernel_size[1]))


def pool_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    sum: bool = False,
) -> Tensor:
    """Max pooling of n maps that equal base except in one rectangle each, computed where it is wanted alone.

    Args:
        base, patches, have, want, rows, kernel_size, stride, padding, dilation: as in unfold_patches.
        sum: add up each window instead, 0 outside the map; over the window's area it is average pooling.

    Returns:
        [rows,C], base's dtype; NaN as in torch.nn.functional.max_pool2d; sums are rounded once. Not differentiable.

    Raises:
        RuntimeError: as gather_patches.
    """
    return _ops.pool_patches(
        base, patches, have, want, rows, _pair(kernel_size), _pair(stride), _pair(padding), _pair(dilation), sum
    )


@torch.library.register_fake("zfcuda::pool_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, base.shape[1]))


def pack_filters(weight: Tensor, stride: Size = 1, dilation: Size = 1) -> Tensor:
    """Filters in the order in which conv_patches reads them.

    Args:
        weight: [O,C,kh,kw], float32 on the CPU.
        stride, dilation: int or (rows, columns), those of the convolution to come. With 3x3 filters, no stride and no
            dilation the packed form is that of Winograd's algorithm F(2x2, 3x3).

    Returns:
        [m], for this process on this machine alone.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return _ops.pack_filters(weight, _pair(stride), _pair(dilation))


@torch.library.register_fake("zfcuda::pack_filters")
def _(weight: Tensor, stride: Any, dilation: Any) -> Tensor:
    return weight.new_empty(torch.library.get_ctx().new_dynamic_size())


def conv_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    filters: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    *,
    channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    relu: bool = False,
) -> Tensor:
    """Convolution of n maps that equal base except in one rectangle each, computed where it is wanted alone.

    The CPU's own kernel, for rectangles of any sizes at once; a dense convolution of gather_patches does the same.

    Args:
        base: [1,C,H,W] float32, channels_last without a copy.
        patches, have: what is changed of each map, as in gather_patches.
        want: int64 [n,5], as there, of the output's positions; they lie inside the output map, for which padding may be
            one line more after the map than before, as padding="same" has it with an even kernel.
        rows: of the result: the sum of want's areas.
        filters: what pack_filters made of the weight [O,C,kh,kw] for this stride and dilation.
        bias: [O]. residual: [rows,O], added before relu.
        channels: O. kernel_size, stride, padding, dilation, as in torch.nn.functional.conv2d. relu: at the end.

    Returns:
        [rows,O] float32. Not differentiable. With Winograd's algorithm (see pack_filters) an infinite input makes NaN
        of all outputs of its 2x2 tile.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return _ops.conv_patches(
        base,
        patches,
        have,
        want,
        rows,
        filters,
        bias,
        residual,
        channels,
        _pair(kernel_size),
        _pair(stride),
        _pair(padding),
        _pair(dilation),
        relu,
    )


@torch.library.register_fake("zfcuda::conv_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, others[3]))


def linear_rows(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, have: Tensor | None = None, size: Size = 1
) -> Tensor:
    """A linear layer on many rows, which may be maps that are zero outside of a rectangle. The CPU's own kernel.

    Args:
        input: [n, H*W*C] float32: the numbers of a position stand together, as in a channels_last map.
        weight: [O, C*H*W], as for a flattened [C,H,W]. bias: [O].
        have: int64 [n,5], as in gather_patches: the caller says that rows are zero outside of (top, left, bottom,
            right); what stands there may be left out. None: nothing is known to be zero.
        size: (H, W), or 1 for rows that are no maps.

    Returns:
        [n,O] float32. Not differentiable.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return _ops.linear_rows(input, weight, bias, have, _pair(size))


@torch.library.register_fake("zfcuda::linear_rows")
def _(input: Tensor, weight: Tensor, bias: Tensor | None, have: Tensor | None, size: Any) -> Tensor:
    return input.new_empty((input.shape[0], weight.shape[0]))


# ---------------------------------------------------------------- devices without a compiled kernel

_TWINS: dict[str, Callable[..., Any]] = {
    name: getattr(reference, name)
    for name in (
        "max_pool2d_with_switches",
        "max_unpool2d",
        "gather_by_switch",
        "local_response_norm",
        "local_response_norm_backward",
        "relu_max_pool2d_lrn",
        "occlude",
        "gather_patches",
        "unfold_patches",
        "pool_patches",
        "pack_filters",
        "conv_patches",
        "linear_rows",
    )
}
_warned: set[str] = set()


def _falling_back(name: str, twin: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        device = str(next(x for x in args if isinstance(x, Tensor)).device)
        if device not in _warned:
            _warned.add(device)
            warnings.warn(
                f"zfcuda has no compiled kernels for {device}; its operators run in plain torch there (slower)",
                stacklevel=2,
            )
        return twin(*args)

    return run


for _name, _twin in _TWINS.items():
    # The catch-all key: it serves every backend that has no kernel of its own.
    torch.library.impl(f"zfcuda::{_name}", "CompositeExplicitAutograd")(_falling_back(_name, _twin))


def _check_architectures() -> None:
    """Send CUDA to the twins if a GPU is there whose architecture the kernels were not compiled for."""
    missing = [i for i in range(torch.cuda.device_count()) if not _C.cuda_runs_on(i)]
    if missing:
        for name, twin in _TWINS.items():
            torch.library.impl(f"zfcuda::{name}", "CUDA")(_falling_back(name, twin))


if _C.build_info()["cuda"]:
    # Runs when CUDA is first used, so that importing zfcuda does not start it.
    torch.cuda._lazy_call(_check_architectures)
