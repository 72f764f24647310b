"""Devices without a compiled kernel: the operators run there in plain torch, and say so once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops._common import extension

_TWINS: dict[str, Callable[..., Any]] = {
    name: getattr(reference, name)
    for name in (
        "max_pool2d_with_switches",
        "max_unpool2d",
        "gather_by_switch",
        "local_response_norm",
        "local_response_norm_backward",
        "relu_max_pool2d_lrn",
        "occlude",
        "gather_patches",
        "unfold_patches",
        "pool_patches",
        "pack_filters",
        "conv_patches",
        "pointwise_patches",
        "pack_grouped_filters",
        "grouped_patches",
        "linear_rows",
        "conv_backward_by_switch",
        "texture_pixels",
    )
}
warned: set[str] = set()


def falling_back(name: str, twin: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        device = str(next(x for x in args if isinstance(x, Tensor)).device)
        if device not in warned:
            warned.add(device)
            warnings.warn(
                f"zfcuda has no compiled kernels for {device}; its operators run in plain torch there (slower)",
                stacklevel=2,
            )
        return twin(*args)

    return run


for _name, _twin in _TWINS.items():
    # The catch-all key: it serves every backend that has no kernel of its own.
    torch.library.impl(f"zfcuda::{_name}", "CompositeExplicitAutograd")(falling_back(_name, _twin))


def _check_architectures() -> None:
    """Send CUDA to the twins if a GPU is there whose architecture the kernels were not compiled for."""
    missing = [i for i in range(torch.cuda.device_count()) if not extension.cuda_runs_on(i)]
    if missing:
        for name, twin in _TWINS.items():
            torch.library.impl(f"zfcuda::{name}", "CUDA")(falling_back(name, twin))


if extension.build_info()["cuda"]:
    # Runs when CUDA is first used, so that importing zfcuda does not start it.
    torch.cuda._lazy_call(_check_architectures)
