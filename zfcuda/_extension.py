"""Loads the compiled part, says what is wrong where it cannot be loaded, and what runs."""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

import torch

_BUILD = "pip install --no-build-isolation ."


def load() -> ModuleType:
    """The compiled module; importing it registers the operators.

    Raises:
        ImportError: where nothing was built, or it was built for another torch.
    """
    try:
        from zfcuda._built_for import TORCH, WITHOUT_CUDA
    except ImportError:
        raise ImportError(f"zfcuda is not built: run `{_BUILD}` in its folder") from None
    found = str(torch.__version__)
    if not _fits(TORCH, found, bool(WITHOUT_CUDA)):
        release = TORCH.partition("+")[0]
        raise ImportError(
            f"zfcuda was built for torch {TORCH}, found torch {found}: install a wheel of zfcuda for torch {found}, "
            f"or build zfcuda for it (`{_BUILD}` in its folder, or in the unpacked sdist), "
            f"or `pip install torch=={release}`"
        )
    return importlib.import_module("zfcuda._C")


def _fits(built: str, found: str, cpu_alone: bool) -> bool:
    """Whether a library that was built for one torch runs beside another.

    Another release may lay out its classes differently. The builds of one release ("2.13.0+cpu", "2.13.0+cu130") have
    the same classes and the same library for the CPU, and kernels for the CPU call no other.
    """
    if built == found:
        return True
    release = re.fullmatch(r"(\d+\.\d+\.\d+)(\+(cpu|cu\d+))?", built)
    return bool(cpu_alone and release and re.fullmatch(re.escape(release[1]) + r"(\+(cpu|cu\d+))?", found))


def backend() -> dict[str, Any]:
    """What was compiled in and what runs on this machine.

    Returns:
        A dict:
        "torch": the version that is there, for a build of whose release the extension was built;
        "instruction_set": "avx512", "avx2" or "baseline", chosen at run time (ZFCUDA_ISA asks for less);
        "openmp": whether the CPU kernels are parallel; "threads": on how many threads;
        "cuda": whether CUDA kernels were compiled; "without_cuda": why not, "" where they were;
        "cuda_architectures": for which, as in TORCH_CUDA_ARCH_LIST;
        "cuda_devices": names of the GPUs that torch sees.
    """
    info: dict[str, Any] = dict(load().build_info())
    from zfcuda._built_for import WITHOUT_CUDA

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if info["cuda"] else []
    return {
        "torch": torch.__version__,
        "instruction_set": info["instruction_set"],
        "openmp": info["openmp"],
        "threads": torch.get_num_threads(),
        "cuda": info["cuda"],
        "without_cuda": WITHOUT_CUDA,
        "cuda_architectures": info["cuda_architectures"].split(),
        "cuda_devices": devices,
    }
