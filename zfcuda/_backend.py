"""What was compiled in, and what runs."""

from __future__ import annotations

from typing import Any

import torch

from zfcuda import _build


def backend() -> dict[str, Any]:
    """What was compiled in and what runs on this machine.

    Returns:
        A dict:
        "torch": the version that is there, for which the extension was built;
        "instruction_set": "avx512", "avx2" or "baseline", chosen at run time (ZFCUDA_ISA asks for less);
        "openmp": whether the CPU kernels are parallel; "threads": on how many threads;
        "cuda": whether CUDA kernels were compiled; "cuda_architectures": which, as in TORCH_CUDA_ARCH_LIST;
        "cuda_devices": names of the GPUs that torch sees.
    """
    info: dict[str, Any] = dict(_build.load().build_info())
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if info["cuda"] else []
    return {
        "torch": torch.__version__,
        "instruction_set": info["instruction_set"],
        "openmp": info["openmp"],
        "threads": torch.get_num_threads(),
        "cuda": info["cuda"],
        "cuda_architectures": info["cuda_architectures"].split(),
        "cuda_devices": devices,
    }
