"""What Captum's `target` means: what is taken from each example's output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def repeat_target(target: Any, copies: int) -> Any:
    """One target per example becomes one per example of each copy; a single target stays."""
    if isinstance(target, list):
        return target * copies
    if isinstance(target, Tensor) and target.numel() > 1:
        return torch.cat([target] * copies)
    return target


def select_target(output: Any, target: Any) -> Any:
    """What Captum's target means. int, tuple, Tensor of one: an index into each example's output. list or Tensor [n]:
    one index per example. None: the output itself. A callable gets the output as it is.
    """
    if target is None:
        return output
    if callable(target):
        return target(output)
    if not isinstance(output, Tensor):
        raise AttributeError(f"target: {target!r} cannot be taken from a {type(output).__name__}, only from a Tensor")
    if output.dim() == 0:
        raise IndexError(f"target: {target!r} cannot be taken from a single value; forward_func returns no batch")
    shape, examples = list(output.shape), len(output)
    if isinstance(target, Tensor):
        if target.numel() == 1 and isinstance(target.item(), int):
            target = int(target.item())
        elif target.dim() != 1 or len(target) != examples:
            raise AssertionError(f"target: expected one index or {examples}, got shape {list(target.shape)}")
    if isinstance(target, int | tuple):
        index = (target,) if isinstance(target, int) else target
        if len(index) >= output.dim():
            raise AssertionError(f"target: {target!r} has too many indices for outputs of shape {shape}")
        return output[(slice(None), *index)]
    if not isinstance(target, list | Tensor):
        raise AssertionError(f"target: expected int, tuple, list, Tensor, callable or None, got {target!r}")
    if len(target) != examples:
        raise AssertionError(f"target: {len(target)} indices for {examples} examples")
    if isinstance(target, list) and isinstance(target[0], tuple):
        return torch.stack([output[(i, *index)] for i, index in enumerate(target)])
    if isinstance(target, list) and not isinstance(target[0], int):
        raise AssertionError(f"target: expected indices or tuples of them, got {target[0]!r}")
    if output.dim() != 2:
        raise AssertionError(f"target: one index per example needs outputs [N,classes], got shape {shape}")
    classes = target if isinstance(target, Tensor) else torch.tensor(target, device=output.device)
    return output.gather(1, classes[:, None])[:, 0]
