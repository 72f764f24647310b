"""One image under many occluders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.ops._common import Size, empty_like_format, kernels, pair


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
