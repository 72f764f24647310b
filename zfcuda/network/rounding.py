"""How exactly a device computes a network's layers, so that two runs can be compared."""

from __future__ import annotations

import torch


def convolutions_in_tf32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether cuDNN may round float32 to TF32 on this device, as it does by default from Ampere on."""
    if device.type != "cuda" or dtype != torch.float32 or not torch.backends.cudnn.enabled:
        return False
    return torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]


def rounding(device: torch.device, dtype: torch.dtype) -> float:
    """The relative error of one product."""
    return 2.0**-10 if convolutions_in_tf32(device, dtype) else torch.finfo(dtype).eps
