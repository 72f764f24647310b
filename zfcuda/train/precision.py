"""Which precision a run computes in."""

from __future__ import annotations

import torch

from zfcuda.fast_dtype import is_fast
from zfcuda.train.options import Options


def fast_precision(device: str | torch.device) -> torch.dtype:
    """bfloat16 where a device multiplies matrices of it faster than those of float32, else float32."""
    return torch.bfloat16 if is_fast(torch.bfloat16, device) else torch.float32


def precision_of(options: Options) -> torch.dtype:
    """The dtype that the network computes in: the one that is asked for, or which is fast on its device."""
    if options.precision == "auto":
        return fast_precision(options.device)
    dtype: torch.dtype = getattr(torch, options.precision or "float32")
    return dtype
