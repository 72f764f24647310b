"""The incremental engine's kernel for convolutions in groups, depthwise ones among them; see zfcuda.ops.patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, kernels, pair


def pack_grouped_filters(weight: Tensor, groups: int) -> Tensor:
    """Filters in the order in which grouped_patches reads them.

    Args:
        weight: [O,C/groups,kh,kw], float32 on the CPU.
        groups: of the convolution to come.

    Returns:
        [m], for this process on this machine alone.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return kernels.pack_grouped_filters(weight, groups)


@torch.library.register_fake("zfcuda::pack_grouped_filters")
def _(weight: Tensor, groups: Any) -> Tensor:
    return weight.new_empty(torch.library.get_ctx().new_dynamic_size())


def grouped_patches(
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
    groups: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    relu: bool = False,
    ceiling: float | None = None,
) -> Tensor:
    """Convolution in groups of n maps that equal base except in one rectangle each, computed where it is wanted alone.

    The CPU's own kernel, for rectangles of any sizes at once. With a filter per channel nothing is copied: it reads
    each position where it lies.

    Args:
        base, patches, have, want, rows, bias, residual, channels: as in zfcuda.ops.patches.conv_patches.
        kernel_size, stride, padding, dilation, relu, ceiling: as there.
        filters: what pack_grouped_filters made of the weight [O,C/groups,kh,kw].
        groups: a divisor of C and of O.

    Returns:
        [rows,O] float32. Not differentiable.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return kernels.grouped_patches(
        base,
        patches,
        have,
        want,
        rows,
        filters,
        bias,
        residual,
        channels,
        groups,
        pair(kernel_size),
        pair(stride),
        pair(padding),
        pair(dilation),
        relu,
        ceiling,
    )


@torch.library.register_fake("zfcuda::grouped_patches")
def _(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return base.new_empty((rows, others[3]))
