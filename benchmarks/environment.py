"""Where a result was measured: device, versions, date, command."""

from __future__ import annotations

import datetime
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import zfcuda


def device_name(device: torch.device) -> str:
    """For people: "AMD EPYC (2 threads)", "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name} ({torch.get_num_threads()} threads)"


def short_name(device: torch.device) -> str:
    """For file names: "cpu", "h100"."""
    if device.type != "cuda":
        return device.type
    words = torch.cuda.get_device_name(device).lower().split()
    return next((w for w in words if any(c.isdigit() for c in w)), words[-1])


def environment(device: torch.device) -> dict[str, Any]:
    """What a recorded result needs to be believed and repeated."""
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "zfcuda": zfcuda.backend(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", "-m", *sys.orig_argv[sys.orig_argv.index("-m") + 1 :]])
        if "-m" in sys.orig_argv
        else " ".join(sys.argv),
    }
