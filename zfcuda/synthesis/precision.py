"""The precision of arithmetic on images and layers, whatever a caller has the model run in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def as_it_is(value: Tensor) -> AbstractContextManager[object]:
    """Within it products of matrices on the device of a value keep their dtype, under autocast too."""
    return torch.autocast(value.device.type, enabled=False)


def wide(values: Tensor) -> Tensor:
    """Values in float32 at least."""
    return values.float() if values.dtype.itemsize < 4 else values
