"""Holds the weights of a file against a network: all of them fit, or none is taken and one line says why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.identify import whose
from zfcuda.models.checkpoints.prefixes import without_prefix
from zfcuda.models.checkpoints.read import read_weights


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Loads the weights in a file into a network, cast to the network's dtypes and moved to its devices.

    Args:
        model: the network; unchanged where this raises.
        path: see :func:`read_weights`.

    Raises:
        WeightsError: (a ValueError) where the file cannot be read, or does not fit (see :func:`matched`).
    """
    weights = matched(model, read_weights(path), Path(path))
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and value.is_meta:
            raise WeightsError(f"{name!r} of the network is on the meta device: materialise it first")
    model.load_state_dict(weights, strict=False)  # copies into the parameters, so their dtypes and devices stay


def matched(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The weights of a file by the names of the network: every tensor that the network has, and no other.

    Names in the file may carry the prefix of DataParallel ("module."), torch.compile or Lightning. What the network
    names in `ignored_keys`, prefixes of names, is left out: published files may hold layers that only training uses.

    Raises:
        WeightsError: naming the first key that does not fit, in the network's order: one that is missing, one of
            another shape (both shapes are given), one that is unexpected; and the network whose weights these are.
    """
    wanted = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    weights = without_prefix(weights, wanted)
    ignored = tuple(getattr(model, "ignored_keys", ()))
    weights = {name: value for name, value in weights.items() if name in wanted or not name.startswith(ignored)}
    reason = _misfit(wanted, weights)
    if reason is not None:
        raise WeightsError(f"{file}: weights of another network: {reason}{whose(weights)}")
    return weights


def _misfit(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """The first thing that does not fit, in words."""
    for name, value in wanted.items():
        if name not in weights:
            if name.endswith("num_batches_tracked"):  # absent from older files; only training reads it
                continue
            other = next((key for key in weights if key not in wanted), None)
            hint = "" if other is None else f" (it has {other!r} {_shape(weights[other])} instead)"
            return f"{name!r} {_shape(value)} is missing from the file{hint}"
        if weights[name].shape != value.shape:
            return f"{name!r} is {_shape(weights[name])} in the file and {_shape(value)} in the network"
    for name in weights:
        if name not in wanted:
            return f"{name!r} {_shape(weights[name])} does not exist in the network"
    return None


def _shape(value: Tensor) -> str:
    return str(list(value.shape))
