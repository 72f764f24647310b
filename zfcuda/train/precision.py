"""Which precision a run computes in."""

from __future__ import annotations

import torch

from zfcuda.train.options import Options


def fast_precision(device: str | torch.device) -> torch.dtype:
    """bfloat16 where a device multiplies matrices of it faster than those of float32, else float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    fast = kind == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if fast else torch.float32


def precision_of(options: Options) -> torch.dtype:
    """The dtype that the network computes in: the one that is asked for, or which is fast on its device."""
    if options.precision == "auto":
        return fast_precision(options.device)
    dtype: torch.dtype = getattr(torch, options.precision or "float32")
    return dtype
