"""What all operators share: the compiled kernels, pairs, and the shapes that fake kernels need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from zfcuda import _extension

extension = _extension.load()  # registers the schemas and the compiled kernels
kernels = torch.ops.zfcuda

Size = int | Sequence[int]


def pair(value: Size) -> list[int]:
    """int -> [v, v]; the checks in C++ refuse whatever does not have two elements."""
    return [value, value] if isinstance(value, int) else list(value)


def pooled_length(length: Any, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Any:
    """How many windows a pooling has along one side."""
    out = (length + 2 * padding - kernel + (stride - 1 if ceil_mode else 0)) // stride + 1
    # The last window has to start inside the map or its left padding.
    return out - 1 if ceil_mode and (out - 1) * stride >= length + padding else out


def empty_like_format(input: Tensor, shape: Sequence[Any], dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised tensor of this shape in the memory format that the kernels give: the input's suggested one."""
    return torch.empty(
        shape, dtype=dtype or input.dtype, device=input.device, memory_format=suggest_memory_format(input)
    )
