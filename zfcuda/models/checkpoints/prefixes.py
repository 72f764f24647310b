"""What wrappers put before every name of a checkpoint, and its removal."""

from __future__ import annotations

from collections.abc import Container, Mapping

from torch import Tensor

_PREFIXES = ("module.", "_orig_mod.", "model.")  # what DataParallel, torch.compile and Lightning put before each name


def without_prefix(weights: Mapping[str, Tensor], wanted: Container[str]) -> dict[str, Tensor]:
    """Weights without what wrappers put before every name; a prefix that leads to no name of the network stays."""
    names = list(weights)
    while names and not any(name in wanted for name in names):
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names = [name.removeprefix(prefix) for name in names]
    else:
        return dict(zip(names, weights.values(), strict=True))
    return dict(weights)
