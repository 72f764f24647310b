"""One image under many occluders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops._common import Size, empty_like_format, kernels, pair
from zfcuda.ops._derivatives import differentiable


def occlude(image: Tensor, fill: Tensor, origins: Tensor, window: Size) -> Tensor:
    """One image, many occluders: image i of the result is the image with one window replaced (Zeiler & Fergus, 4.2).

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
    return kernels.occlude(image, fill, origins, pair(window))


@torch.library.register_fake("zfcuda::occlude")
def _(image: Tensor, fill: Tensor, origins: Tensor, window: Any) -> Tensor:
    return empty_like_format(image.unsqueeze(0), [origins.shape[0], *image.shape])


def _save_occluded(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, fill, origins, ctx.window = inputs
    ctx.shapes = image.shape, fill.shape
    ctx.save_for_backward(origins)
    ctx.save_for_forward(origins)


def _occlude_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    image, fill = ctx.shapes
    inside = reference.occluded(image[1:], ctx.saved_tensors[0], ctx.window)
    by_fill = grad.masked_fill(~inside, 0).sum(0).sum_to_size(fill)
    return grad.masked_fill(inside, 0).sum(0), by_fill, None, None


def _occlude_forward(ctx: Any, saved: Any, image: Tensor | None, fill: Tensor | None, *_: None) -> Tensor:
    image_shape, fill_shape = ctx.shapes
    some = fill if image is None else image
    assert some is not None
    image = some.new_zeros(image_shape) if image is None else image
    fill = some.new_zeros(fill_shape) if fill is None else fill
    return kernels.occlude(image, fill, saved[0], ctx.window)


differentiable("occlude", save=_save_occluded, backward=_occlude_backward, forward=_occlude_forward)
