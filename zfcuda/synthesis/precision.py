"""Arithmetic on images in the dtype that they have, whatever a caller has the model run in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def as_it_is(value: Tensor) -> AbstractContextManager[object]:
    """Within it products of matrices on the device of a value keep their dtype, under autocast too."""
    return torch.autocast(value.device.type, enabled=False)
