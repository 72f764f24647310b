"""Tensors that are said to be on a GPU and hold nothing, without one: whoever asks for a value fails, as under the
capture of a CUDA graph, and so does who mixes devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten


def _dimensions(x: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Slices, integers and None applied; the tensors that are left, one per dimension."""
    index = index if isinstance(index, tuple) else (index,)
    left: list[Tensor | None] = []
    for part in index:
        dim = len(left)
        if part is None:
            x = aten.unsqueeze(x, dim)
        elif isinstance(part, int):
            x = aten.select(x, dim, part)
            continue
        elif isinstance(part, slice):
            x = aten.slice(x, dim, part.start, part.stop, part.step or 1)
        elif part is Ellipsis:
            left += [None] * (x.dim() - dim - len(index) + 1)
            continue
        left.append(part if isinstance(part, Tensor) else None)
    return x, left


def _get(x: Tensor, index: Any) -> Tensor:
    x, left = _dimensions(x, index)
    return aten.index(x, left) if any(t is not None for t in left) else x


def _set(x: Tensor, index: Any, value: Any) -> None:
    x, left = _dimensions(x, index)
    if any(t is not None for t in left):
        aten.index_put_(x, left, value)
    else:
        aten.copy_(x, value)


def _contiguous(x: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    return x if x.is_contiguous(memory_format=memory_format) else aten.clone(x, memory_format=memory_format)


# Python's own bindings of these look for the GPU.
_INSTEAD: dict[Callable[..., Any], Callable[..., Any]] = {
    Tensor.__getitem__: _get,
    Tensor.__setitem__: _set,
    Tensor.contiguous: _contiguous,
}


class _WithoutBindings(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _INSTEAD.get(function, function)(*args, **(kwargs or {}))


@contextmanager
def fake_gpu() -> Iterator[Callable[[Any], Any]]:
    """Gives a function that says of a tensor that it is on the GPU; other values stay."""

    def on_gpu(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")

    with FakeTensorMode(), _WithoutBindings():
        yield on_gpu
