"""What every measure asks of a map and of a mask, worded once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfcuda.inputs import check_plain, number

# A map or a mask, [H,W]: of a method here, of another library, or of NumPy.
Values = Tensor | np.ndarray


def checked_map(map: Any, name: str = "map") -> Tensor:
    """The map as float64 [H,W] on the CPU.

    Raises:
        TypeError: it is no real Tensor or array.
        ValueError: it is not [H,W], is empty, or holds NaN or infinity.
    """
    values = _tensor(map, name)
    if values.is_complex():
        raise TypeError(f"{name}: expected real values, got {values.dtype}")
    if values.dim() != 2 or values.numel() == 0:
        hint = f"; {name}[0] is the first of them" if values.dim() == 3 and len(values) else ""
        raise ValueError(f"{name}: expected [H,W], got shape {list(values.shape)}{hint}")
    values = values.to("cpu", torch.float64)
    if not values.isfinite().all():
        raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    return values


def checked_mask(mask: Any, size: torch.Size | None = None) -> Tensor:
    """The mask as bool [H,W] on the CPU.

    size: of the map, which the mask has to share.

    Raises:
        TypeError: it is no bool Tensor or array.
        ValueError: it is not [H,W], of another size, or nothing is in it.
    """
    values = _tensor(mask, "mask")
    if values.dtype != torch.bool:
        raise TypeError(f"mask: expected bool, got {values.dtype}; mask > 0 makes it")
    if values.dim() != 2:
        raise ValueError(f"mask: expected [H,W], got shape {list(values.shape)}")
    if size is not None and values.shape != size:
        raise ValueError(f"mask: expected {list(size)}, as the map, got {list(values.shape)}")
    if not values.any():
        raise ValueError("mask: expected at least one pixel in it, got none")
    return values.cpu()


def checked_tolerance(tolerance: Any) -> float:
    """The distance in pixels.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative or not finite.
    """
    distance = number("tolerance", tolerance)
    if not 0 <= distance < math.inf:
        raise ValueError(f"tolerance: expected a number of pixels from 0 on, got {tolerance}")
    return distance


def _tensor(value: Any, name: str) -> Tensor:
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(np.ascontiguousarray(value))
        except (TypeError, ValueError):  # of objects, or of another order of bytes
            raise TypeError(f"{name}: expected an array of numbers that torch knows, got dtype {value.dtype}") from None
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a Tensor or an array [H,W], got {type(value).__name__}")
    check_plain(name, value)
    return value.detach()
