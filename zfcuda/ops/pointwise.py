"""The incremental engine's 1x1 convolution, of one map or of several whose channels stand one after the other.

Not differentiable: forward mode, and backward() through it, raise NotImplementedError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, kernels, pair


def pointwise_patches(
    bases: Sequence[Tensor],
    patches: Sequence[Tensor],
    haves: Sequence[Tensor],
    want: Tensor,
    rows: int,
    filters: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    before_relu: bool = False,
    channels: int,
    stride: Size = 1,
    relu: bool = False,
    ceiling: float | None = None,
) -> Tensor:
    """1x1 convolution of n maps that equal a base except in rectangles, computed where it is wanted alone.

    The CPU's own kernel, which reads its input where it lies. The base may be several maps, whose channels the filters
    read as if they were concatenated; the windows change a rectangle of its own of each.

    Args:
        bases: m tensors [1,C[i],H,W] float32, of one height and width; channels_last without a copy.
        patches, haves: of each base what is changed, as gather_patches has it.
        want: int64 [n,5], as there, of the output's positions; they lie inside the output map.
        rows: how many the result has: the sum of want's areas.
        filters: what pack_filters made of the weight [O,C,1,1], where C is the sum of all C[i].
        bias: [O]. residual: [rows,O], added before relu.
        scale, shift: [C], what the inputs are multiplied by, and what is added then. before_relu: whether negative
            inputs become 0, after that.
        channels: O. stride: int or (rows, columns). relu: at the end.
        ceiling: of ReLU6 and its like: what is larger becomes this; None: nothing does.

    Returns:
        [rows,O] float32. Not differentiable.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    return kernels.pointwise_patches(
        list(bases),
        list(patches),
        list(haves),
        want,
        rows,
        filters,
        bias,
        residual,
        scale,
        shift,
        before_relu,
        channels,
        pair(stride),
        relu,
        ceiling,
    )


@torch.library.register_fake("zfcuda::pointwise_patches")
def _(bases: Sequence[Tensor], patches: Any, haves: Any, want: Tensor, rows: Any, *others: Any) -> Tensor:
    return bases[0].new_empty((rows, others[6]))
