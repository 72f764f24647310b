"""Which precision is fast."""

from __future__ import annotations

import torch


def fast_precision(device: str | torch.device) -> torch.dtype:
    """bfloat16 where a device multiplies matrices of it faster than those of float32, else float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    fast = kind == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if fast else torch.float32
