"""What steps make of the model's tensors, kept from image to image as long as these hold the same numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

_FEW = 4096  # bytes that are compared as they are


class Kept:
    """Filters as the kernels take them, and the like.

    That a tensor is the same, and written to by no operator since, says too little: what is written through `.data` or
    NumPy is not counted. So its numbers are read at each image, which takes a fraction of packing them.
    """

    def __init__(self) -> None:
        self._made: dict[Any, tuple[list[Any], Any]] = {}

    def once(self, key: Any, of: Sequence[Any], make: Callable[[], T]) -> T:
        """What `make` gives, anew where the tensors and settings that it is made of are others than the last time."""
        now = [fingerprint(value) if isinstance(value, Tensor) else value for value in of]
        before = self._made.get(key)
        if before is None or before[0] != now:
            before = None
            self._made.pop(key, None)  # before the next is made, or both would be held
            self._made[key] = now, make()
        made: T = self._made[key][1]
        return made


def fingerprint(values: Tensor) -> tuple[Any, ...]:
    """Tells a tensor on the CPU from others: its form, and its bits; where they are many, their checksum and their sum.

    Sums alone would not see a change of sign, whose bits add up to nothing, nor an exchange of two numbers.
    """
    form = (values.shape, values.stride(), values.dtype)
    values = values.detach()
    if values.dim() == 4 and not values.is_contiguous():
        values = values.permute(0, 2, 3, 1)  # channels_last: as it lies
    flat = values.contiguous().view(-1)
    bits = flat.view(torch.uint8).numpy().data
    if flat.nbytes <= _FEW:
        return (*form, bits.tobytes())
    aligned = flat.nbytes % 8 == 0 and flat.storage_offset() * flat.element_size() % 8 == 0
    return (*form, zlib.crc32(bits), int(flat.view(torch.int64).sum()) if aligned else zlib.adler32(bits))
