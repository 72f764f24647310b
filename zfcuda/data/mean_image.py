"""The mean of each pixel over the training pictures, which Zeiler & Fergus subtract (section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def checked_mean_image(value: Any, short_side: int) -> Tensor:
    """A mean picture as a tensor of its own on the CPU, uint8 or float32 [C,short_side,short_side].

    Args:
        value: a Tensor or an array, uint8 or floating, of 0 to 255.
        short_side: of the preprocess whose mean it is.

    Raises:
        TypeError, ValueError: it is no such picture.
    """
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if not isinstance(value, Tensor) or not (value.dtype == torch.uint8 or value.is_floating_point()):
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"mean_image: expected a tensor or an array of uint8 or float32, got {kind}")
    if value.dim() != 3 or len(value) not in (1, 3) or list(value.shape[1:]) != [short_side, short_side]:
        raise ValueError(
            f"mean_image: expected [1 or 3, {short_side}, {short_side}], a square of short_side, got "
            f"{list(value.shape)}"
        )
    image = value.detach().to("cpu", torch.uint8 if value.dtype == torch.uint8 else torch.float32, copy=True)
    low, high = (float(end) for end in image.aminmax())
    if not 0 <= low <= high <= 255:  # NaN neither
        raise ValueError(f"mean_image: expected values of 0 to 255, got {low:.6g} to {high:.6g}")
    if image.is_floating_point() and 0 < high <= 1:
        raise ValueError(f"mean_image: expected values of 0 to 255, got at most {high:.3g}; multiply them by 255")
    return image.contiguous()


def colours(image: Tensor) -> tuple[float, ...]:
    """The mean of each channel of a mean picture, in 0 to 1."""
    return tuple((image.double().mean((1, 2)) / 255).tolist())


def centre(image: Tensor, high: int, wide: int) -> Tensor | None:
    """The middle of a mean picture, where :func:`zfcuda.data.preprocess.centre_crop` cuts; None: it is smaller."""
    top, left = (round((side - cut) / 2) for side, cut in zip(image.shape[1:], (high, wide), strict=True))
    return image[:, top : top + high, left : left + wide] if min(top, left) >= 0 else None
