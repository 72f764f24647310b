"""Where a result was measured: device, versions, date, command."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from typing import Any

import torch

import zfcuda
from benchmarks.device import device_name

# Variables that change what is measured.
_VARIABLES = ("THP_MEM_ALLOC_ENABLE", "OMP_NUM_THREADS", "ZFCUDA_ISA", "LD_PRELOAD", "MALLOC_CONF")


def environment(device: torch.device) -> dict[str, Any]:
    """What a recorded result needs to be believed and repeated."""
    setting = "THP_MEM_ALLOC_ENABLE"  # huge pages for torch's own outputs: decides what a CPU comparison means
    prefix = f"{setting}={os.environ[setting]} " if os.environ.get(setting) else ""
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "zfcuda": zfcuda.backend(),
        "python": platform.python_version(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "date": datetime.date.today().isoformat(),
        "command": prefix + " ".join(["python", "-m", *sys.orig_argv[sys.orig_argv.index("-m") + 1 :]])
        if "-m" in sys.orig_argv
        else " ".join(sys.argv),
    }
