"""What a model is apart from the values of its tensors: whether something learnt about it still holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_OWN = frozenset(vars(nn.Module()))  # torch's: parameters, buffers and modules are looked at by themselves


def structure(model: nn.Module) -> tuple[Any, ...]:
    """The modules of a model with their settings, to be compared with ==.

    It tells other modules, functions and plain settings, such as a number that the forward reads, other shapes, and
    other numbers in what may be an index; it does not tell whether the model has learnt on.
    """
    return tuple(
        (
            name,
            module,
            *((key, _setting(value)) for key, value in vars(module).items() if key not in _OWN),
            *((key, _tensor(value)) for key, value in module._parameters.items() if value is not None),
            *((key, _tensor(value)) for key, value in module._buffers.items() if value is not None),
        )
        for name, module in model.named_modules(remove_duplicate=False)
    )


def tensors(model: nn.Module) -> tuple[Any, ...]:
    """The shapes of its tensors and the numbers in what may be an index, likewise; it holds nothing of the model."""
    parameters = model.named_parameters(remove_duplicate=False)
    buffers = model.named_buffers(remove_duplicate=False)
    return tuple((name, _tensor(value)) for name, value in (*parameters, *buffers))


def _setting(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return (type(value), *map(_setting, value))
    if isinstance(value, dict):
        return (dict, *((key, _setting(item)) for key, item in value.items()))
    if isinstance(value, Tensor):
        return _tensor(value)
    plain = value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device)
    return value if plain or callable(value) else type(value)


def _tensor(value: Tensor) -> Any:
    known = (value.shape, value.dtype, value.device, value.layout)
    index = value.dim() > 0 and not value.is_floating_point() and not value.is_inference()
    return (*known, value.data_ptr(), value._version) if index else known
