"""Finds the user's hooks: a Network does not run them, so one that changes a value has to be noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _everywhere
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from zfcuda.network.graph import Network, evaluating, plain_name

Check = Callable[[Tensor], None]


def hooked(model: nn.Module, renewing: bool = True) -> list[str]:
    """Says where a model has forward hooks.

    renewing: whether those of torch.nn.utils.weight_norm and spectral_norm count, which renew a weight, and those that
        torch's own tools count calls with.
    """

    def counts(hook: Any) -> bool:
        of_torch = isinstance(hook, WeightNorm | SpectralNorm) or str(getattr(hook, "__module__", "")).startswith(
            "torch.utils."
        )
        return renewing or not of_torch

    owners = [
        plain_name(name) or "the model"
        for name, module in model.named_modules()
        if any(map(counts, [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]))
    ]
    everywhere = [*_everywhere._global_forward_hooks.values(), *_everywhere._global_forward_pre_hooks.values()]
    if any(map(counts, everywhere)):
        owners.append("every module")
    return owners


def watch(network: Network, image: Tensor, layer: str) -> Check:
    """Runs a model that has hooks with them; the check returned refuses a value of the layer's that differs.

    The run comes first, because the hooks of torch.nn.utils.weight_norm and spectral_norm renew the weights.

    image: [1,C,H,W].

    Raises:
        ValueError: the image is not of the shape that the network holds for.
    """
    network.check(image.shape)
    owners = hooked(network.model)
    if not owners:
        return lambda value: None
    target = next(m for name, m in network.model.named_modules(remove_duplicate=False) if plain_name(name) == layer)
    seen: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen[:] = [output.detach().clone()]  # the last call's, before anything overwrites it

    handle = target.register_forward_hook(keep)
    try:
        with torch.no_grad(), evaluating(network.model):
            network.model(image.clone())
    finally:
        handle.remove()

    def check(value: Tensor) -> None:
        tolerance = 3 * torch.finfo(value.dtype).eps ** 0.5
        expected = seen[0] if seen else value
        if value.shape != expected.shape or (value - expected).abs().max() > tolerance * expected.abs().max():
            raise ValueError(f"model: a hook changes what {layer!r} gives (there are hooks on {', '.join(owners)})")

    return check
