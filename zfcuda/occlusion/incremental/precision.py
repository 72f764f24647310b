"""How exactly the device multiplies: a convolution computed as a matrix product keeps the convolutions' setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def convolutions_in_tf32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether cuDNN may round float32 to TF32 on this device, as it does by default from Ampere on."""
    if device.type != "cuda" or dtype != torch.float32 or not torch.backends.cudnn.enabled:
        return False
    return torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]


@contextmanager
def as_convolution(device: torch.device) -> Iterator[None]:
    """Matrix products in here may round to TF32 where convolutions may, and only there."""
    if device.type != "cuda":
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if convolutions_in_tf32(device, torch.float32) else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def agree(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Whether two outputs are the same but for the rounding of a network's many layers."""
    eps = 2.0**-10 if convolutions_in_tf32(a.device, dtype) else torch.finfo(dtype).eps
    rounding = max(eps, torch.finfo(torch.float32).eps) ** 0.5
    scale = b[b.isfinite()].abs().max() if b.isfinite().any() else b.new_ones(())
    return torch.allclose(a, b, rtol=0, atol=float(rounding * scale), equal_nan=True)
