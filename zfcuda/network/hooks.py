"""Finds the user's hooks: a Network does not run them, so one that changes a value has to be noticed."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as _everywhere
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from zfcuda.network.graph import plain_name


def hooked(model: nn.Module, renewing: bool = True) -> list[str]:
    """Says where a model has forward hooks; zfcuda's own, which another thread may have there, do not count.

    renewing: whether those of torch.nn.utils.weight_norm and spectral_norm count, which renew a weight, and those that
        torch's own tools count calls with.
    """

    def counts(hook: Any) -> bool:
        home = str(getattr(hook, "__module__", ""))
        of_torch = isinstance(hook, WeightNorm | SpectralNorm) or home.startswith("torch.utils.")
        return not home.startswith("zfcuda.") and (renewing or not of_torch)

    owners = [
        plain_name(name) or "the model"
        for name, module in model.named_modules()
        if any(map(counts, [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]))
    ]
    everywhere = [*_everywhere._global_forward_hooks.values(), *_everywhere._global_forward_pre_hooks.values()]
    if any(map(counts, everywhere)):
        owners.append("every module")
    return owners
