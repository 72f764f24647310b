"""Which reduced precisions a device computes in faster than in float32."""

from __future__ import annotations

import platform

import torch


def is_fast(dtype: torch.dtype, device: str | torch.device) -> bool:
    """Whether a device has arithmetic of its own for bfloat16 or float16; a processor without it converts each number
    to float32 and back, which takes many times as long as float32 does.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return dtype == torch.float16 or torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return dtype == torch.float16
    if platform.machine().lower() in ("x86_64", "amd64"):
        if dtype == torch.float16:
            return _says("_is_amx_fp16_supported")
        return _says("_is_avx512_bf16_supported") or _says("_is_amx_tile_supported")
    one_dnn = getattr(torch.ops.mkldnn, f"_is_mkldnn_{'fp16' if dtype == torch.float16 else 'bf16'}_supported", None)
    return one_dnn is not None and bool(one_dnn())


def _says(name: str) -> bool:
    """What torch found out about the processor; not every version asks all."""
    found = getattr(torch.cpu, name, None)
    return found is not None and bool(found())
