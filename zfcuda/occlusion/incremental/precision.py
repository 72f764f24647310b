"""How exactly the device multiplies: a convolution computed as a matrix product keeps the convolutions' setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from zfcuda.network.intact import Shared
from zfcuda.network.rounding import convolutions_in_tf32, rounding


def as_convolution(device: torch.device) -> AbstractContextManager[None]:
    """Matrix products in here may round to TF32 where convolutions may, and only there."""
    return _AS_CONVOLUTION if device.type == "cuda" else nullcontext()


@contextmanager
def _as_convolution() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if convolutions_in_tf32(torch.device("cuda"), torch.float32) else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


_AS_CONVOLUTION = Shared(_as_convolution)


def agree(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Whether two outputs are the same but for the rounding of a network's many layers."""
    tolerance = max(rounding(a.device, dtype), torch.finfo(torch.float32).eps) ** 0.5
    scale = b[b.isfinite()].abs().max() if b.isfinite().any() else b.new_ones(())
    return torch.allclose(a, b, rtol=0, atol=float(tolerance * scale), equal_nan=True)
