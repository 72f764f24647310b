"""What a device is called; needs torch alone, so that it works before anything is built."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """The name for people: "AMD EPYC (2 threads)", "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name} ({torch.get_num_threads()} threads)"


def short_name(device: torch.device) -> str:
    """The name in file names: "cpu", "h100"."""
    if device.type != "cuda":
        return device.type
    words = torch.cuda.get_device_name(device).lower().split()
    return next((w for w in words if any(c.isdigit() for c in w)), words[-1])
