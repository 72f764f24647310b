"""The pixels of a texture, one after the other, each by a search for its neighbourhood."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import kernels


def texture_pixels(
    output: Tensor,
    chosen: Tensor,
    coarser: Tensor | None,
    values: Tensor,
    windows: Tensor,
    order: Tensor,
    centres: Tensor,
    nodes: Tensor,
    *,
    radius: int,
    leaves: int,
    first: int,
    last: int,
) -> None:
    """Chooses the pixels [first, last) of one level of a texture, in place, in scan-line order (Wei & Levoy 2000).

    A pixel's neighbourhood is what it follows in its own level, and the square around its place in the coarser one;
    beyond a border stands the other side. The pixel becomes that of the sample whose neighbourhood is nearest, in the
    leaves of the tree that are searched: at each turn down from the nearest branch that was left aside. Distances are
    sums of squares, in integers; of equally near ones the first in the sample is taken.

    Args:
        output: uint8 [H,W,C] of at most 4 channels, the level; pixels that are not chosen yet are read as they are.
        chosen: int64 [H,W], which of the values each pixel became.
        coarser: uint8 [h,w,C], the level above, half as large; None: there is none.
        values: uint8 [N,C], the sample's pixels.
        windows: uint8 [N,P], their neighbourhoods, leaf by leaf: `radius` rows of 2 * radius + 1 pixels, `radius`
            pixels of the same row, the square of 2 * radius + 1 of the coarser level; zeros up to a multiple of 64.
        order: int64 [N], which of the values a row of windows belongs to.
        centres: uint8 [M,P], of the nodes.
        nodes: int64 [M,4]: the first of its children, which stand one after the other, how many these are, 0 of a leaf
            and at most 256; its rows of windows, from and to. The first node is the root.
        leaves: how many leaves are searched for a pixel.

    Raises:
        RuntimeError: naming the argument and its value.
    """
    kernels.texture_pixels(
        *(output, chosen, coarser, values, windows, order, centres, nodes, radius, leaves, first, last)
    )


@torch.library.register_fake("zfcuda::texture_pixels")
def _(*arguments: Any) -> None:
    return None
