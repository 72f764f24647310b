"""The incremental engine's kernels: maps that differ from a base in one rectangle each.

None is differentiable: forward mode, and backward() through one, raise NotImplementedError.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, kernels, pair


def gather_patches(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int, fill: float = 0.0) -> Tensor:
    """Any rectangle of n maps that equal base except in one rectangle each, of which only that one is kept.

    Where an occluder hides a part of an image, a layer changes within one rectangle; the next layer reads that
    rectangle and what lies around it. Row (i, y, x) of the result is fill outside the map, the row of patches where
    have[i] holds the position, base[0, :, y, x] elsewhere.

    Args:
        base: [1,C,H,W], float32, float64, float16 or bfloat16; any strides, channels_last without a copy.
        patches: [P,C], base's dtype and device: a row per position kept.
        have: int64 [n,5], (top, left, bottom, right, start): patches holds positions top <= y < bottom,
            left <= x < right of map i, row-major, from row start on. Empty where bottom <= top or right <= left.
        want: int64 [n,5], the rectangles of the result in the same form. One may reach beyond the map on every side;
            starts follow each other: start[i + 1] = start[i] + area[i], start[0] = 0.
        rows: how many the result has: the sum of the areas.
        fill: what stands outside the map (the next layer's padding).

    Returns:
        [rows,C], base's dtype. Not differentiable.

    Raises:
        RuntimeError: naming the argument and its value, where a shape, dtype or device is refused; on the CPU also
            naming the window, where have or want is not as said above. On a GPU, where that check would make the caller
            wait, a position whose row is not in patches, and a row that no window wants, become fill.
    """
    return kernels.gather_patches(base, patches, have, want, rows, fill)


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
        rows: how many the result has: the sum of want's areas.
        kernel_size, stride, padding, dilation: int or (rows, columns), as in torch.nn.functional.conv2d.

    Returns:
        [rows, kh*kw*C], base's dtype: the positions of a window row-major, the channels of each together, 0 outside the
        map. Not differentiable.

    Raises:
        RuntimeError: as gather_patches.
    """
    return kernels.unfold_patches(
        base, patches, have, want, rows, pair(kernel_size), pair(stride), pair(padding), pair(dilation)
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
    return kernels.pool_patches(
        base, patches, have, want, rows, pair(kernel_size), pair(stride), pair(padding), pair(dilation), sum
    )


@torch.library.register_fake("zfcuda::pool_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, base.shape[1]))


def pack_filters(weight: Tensor, stride: Size = 1, dilation: Size = 1, tile: int = 4) -> Tensor:
    """Filters in the order in which conv_patches reads them.

    Args:
        weight: [O,C,kh,kw], float32 on the CPU.
        stride, dilation: int or (rows, columns), those of the convolution to come. With 3x3 filters, no stride and no
            dilation the packed form is that of Winograd's algorithm.
        tile: of that, the largest tile a side: 4 takes 36 numbers a filter, and spares most multiplications; 2 takes
            16, for few outputs, where reading the filters takes the time.

    Returns:
        [m], for this process on this machine alone.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return kernels.pack_filters(weight, pair(stride), pair(dilation), tile)


@torch.library.register_fake("zfcuda::pack_filters")
def _(weight: Tensor, stride: Any, dilation: Any, tile: int = 4) -> Tensor:
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
    ceiling: float | None = None,
) -> Tensor:
    """Convolution of n maps that equal base except in one rectangle each, computed where it is wanted alone.

    The CPU's own kernel, for rectangles of any sizes at once; a dense convolution of gather_patches does the same.

    Args:
        base: [1,C,H,W] float32, channels_last without a copy.
        patches, have: what is changed of each map, as in gather_patches.
        want: int64 [n,5], as there, of the output's positions; they lie inside the output map, for which padding may be
            one line more after the map than before, as padding="same" has it with an even kernel.
        rows: how many the result has: the sum of want's areas.
        filters: what pack_filters made of the weight [O,C,kh,kw] for this stride and dilation.
        bias: [O]. residual: [rows,O], added before relu.
        channels: O. kernel_size, stride, padding, dilation, as in torch.nn.functional.conv2d. relu: at the end.
        ceiling: of ReLU6 and its like: what is larger becomes this; None: nothing does.

    Returns:
        [rows,O] float32. Not differentiable. With Winograd's algorithm (see pack_filters) an infinite input may
        make NaN of the outputs that read it.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return kernels.conv_patches(
        base,
        patches,
        have,
        want,
        rows,
        filters,
        bias,
        residual,
        channels,
        pair(kernel_size),
        pair(stride),
        pair(padding),
        pair(dilation),
        relu,
        ceiling,
    )


@torch.library.register_fake("zfcuda::conv_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, others[3]))


def linear_rows(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, have: Tensor | None = None, size: Size = 1
) -> Tensor:
    """A linear layer on rows, which may be maps that are zero outside of a rectangle. The CPU's own kernel.

    Up to seven rows that are no maps take as long as it takes to read the weight.

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
    return kernels.linear_rows(input, weight, bias, have, pair(size))


@torch.library.register_fake("zfcuda::linear_rows")
def _(input: Tensor, weight: Tensor, bias: Tensor | None, have: Tensor | None, size: Any) -> Tensor:
    return input.new_empty((input.shape[0], weight.shape[0]))
