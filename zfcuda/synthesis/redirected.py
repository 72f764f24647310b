"""Gradients through what is rectified to 0 or cut off, for images that excite nothing where they start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_CUT = frozenset(
    {
        F.relu,
        F.relu_,
        F.relu6,
        F.hardtanh,
        F.hardtanh_,
        F.hardswish,
        F.hardsigmoid,
        F.threshold,
        torch.threshold_,
        torch.relu,
        torch.relu_,
        torch.clamp,
        torch.clamp_,
        torch.clamp_min,
        torch.clamp_min_,
        torch.clip,
        torch.clip_,
        Tensor.relu,
        Tensor.relu_,
        Tensor.clamp,
        Tensor.clamp_,
        Tensor.clamp_min,
        Tensor.clamp_min_,
        Tensor.clip,
        Tensor.clip_,
    }
)
_CUTTING = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Threshold)


class Redirected(TorchFunctionMode):
    """Within it rectifiers and cut-offs give the values that they give, and pass gradients on as if they were not
    there: a unit that is 0 everywhere says then which change would wake it (after lucid's redirected gradients).
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        value = args[0] if args else kwargs.get("input")
        if func not in _CUT or not isinstance(value, Tensor) or not value.requires_grad:
            return func(*args, **kwargs)
        before = value.clone()  # what works in place writes over it
        with torch.no_grad():
            cut = func(before.detach().clone(), *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
        passed = before + (cut - before.detach())
        in_place = kwargs.get("inplace", False) or func.__name__.endswith("_")
        return value.copy_(passed) if in_place or _asks_in_place(func, args) else passed


def _asks_in_place(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether `inplace` is among the positional arguments, where it is the last of these functions' own."""
    return func in (F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.threshold) and args[-1] is True


def cutting(model: nn.Module) -> list[nn.Module]:
    """The layers that rectify or cut off; a hook on them keeps those of this package from running fused."""
    return [module for module in model.modules() if isinstance(module, _CUTTING)]


@contextmanager
def straight_through(module: nn.Module) -> Iterator[None]:
    """Within it one layer, where it rectifies or cuts off, gives the values that it gives and passes gradients on as if
    it did not (Bengio, Leonard & Courville 2013): units that are to answer and are 0 are then pulled up.
    """
    if not isinstance(module, _CUTTING):
        yield
        return
    before: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        before[:] = inputs[:1]
        return (inputs[0].clone(), *inputs[1:])  # what works in place writes over it

    def through(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return before[0] + (output - before[0]).detach()

    hooks = module.register_forward_pre_hook(keep), module.register_forward_hook(through)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
